//! How many files and connections the process may have open.

/// Raises the soft limit to the hard one: 1024, the usual soft one, is for programs that use `select(2)`, and less than the
/// connections that a server takes. To be called once, at the start.
#[cfg(unix)]
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(not(unix))]
pub fn raise_limit() {}
