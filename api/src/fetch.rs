//! The one client for remote addresses: uploads by URL, and whatever else the server fetches or notifies on behalf of
//! others. By default it reaches only the open internet. Every hop is resolved once, every resolved address is vetted, and
//! the connection goes to exactly a vetted address; a name is never resolved a second time.

pub mod address;
pub mod body;
pub mod client;
pub mod connect;
pub mod error;
pub mod gate;
pub mod policy;
pub mod resolve;
pub mod rules;
pub mod target;

pub use body::{RemoteFile, RemoteHead};
pub use client::RemoteClient;
pub use connect::{Dialer, SystemDialer};
pub use error::{Failure, FetchError, SetupError};
pub use policy::{ContentTypes, FetchPolicy, FetchSettings, Timeouts};
pub use resolve::{Resolver, SystemResolver};
pub use rules::Rules;
