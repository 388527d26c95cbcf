//! Server workloads: every server takes the load in turn, in every round; the load generator's time is not counted.

use crate::Setup;
use crate::cached;
use crate::rows::Row;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_benches::load::{self, Load, Outcome, Paths};
use tintype_benches::measure::{cpu_s_of, family_of, memory_of, order, reset_peak};
use tintype_benches::server::{Server, ServerOptions};
use tintype_benches::workloads::{Asked, CHROME_ACCEPT, Family, SERVER_WORKLOADS, ServerWorkload};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How one program is started, and how its addresses look.
struct Kind {
    name: &'static str,
    /// Path for crop (`c_fill` or `c_fit`), width, height and file.
    path: fn(&str, u32, u32, &str) -> String,
}

const IPX: Kind = Kind {
    name: "ipx",
    path: |crop, w, h, file| match crop {
        "c_fill" => format!("/s_{w}x{h},q_80,f_jpeg/{file}"),
        _ => format!("/w_{w},q_80,f_jpeg/{file}"),
    },
};
const OXIMG: Kind = Kind { name: "oximg", path: |_, w, h, file| format!("/resize/{w}/{h}/{file}") };
const OXIMG_SPEED: Kind = Kind { name: "oximg-speed", ..OXIMG };
const THUMBOR: Kind = Kind {
    name: "thumbor",
    path: |crop, w, h, file| match crop {
        "c_fill" => format!("/unsafe/{w}x{h}/filters:quality(80)/{file}"),
        _ => format!("/unsafe/fit-in/{w}x{h}/filters:quality(80)/{file}"),
    },
};
const NGINX: Kind = Kind {
    name: "nginx image_filter",
    path: |crop, w, h, file| {
        let word = if crop == "c_fill" { "fill" } else { "fit" };
        format!("/{word}/{w}/{h}/{file}")
    },
};

/// A peer that runs; dropping it ends it and all that it started.
pub(crate) struct Peer {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Peer, String> {
        let log = std::fs::File::create(log).map_err(|error| error.to_string())?;
        let other = log.try_clone().map_err(|error| error.to_string())?;
        let spawned = command.stdin(Stdio::null()).stdout(log).stderr(other).spawn();
        let child = spawned.map_err(|error| format!("it does not start: {error}"))?;
        let mut peer = Peer { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = peer.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            if started.elapsed() > START_TIMEOUT {
                return Err("it does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for member in family_of(self.child.id()) {
            if let Ok(pid) = libc::pid_t::try_from(member) {
                // SAFETY: the family was listed just now, and its head is our child that nobody has waited for.
                unsafe { libc::kill(pid, libc::SIGTERM) };
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) enum Running {
    Own(Server),
    Peer(Peer),
}

pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) running: Running,
    /// Used up, for ours; walked through again and again by peers, which keep nothing.
    pub(crate) paths: Vec<String>,
    pub(crate) next: usize,
    pub(crate) nominal: String,
    pub(crate) rounds: Vec<(Outcome, f64, f64)>,
}

pub(crate) fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(|error| error.to_string())
}

fn start_peer(setup: &Setup, kind: &Kind) -> Result<Peer, String> {
    let address = free_address()?;
    let port = address.port().to_string();
    let log = setup.folder.join(format!("{}.log", kind.name.replace(' ', "-")));
    let mut command;
    match kind.name {
        "ipx" => {
            command = Command::new("node");
            command.arg("benches/peers/ipx_server.mjs").arg(setup.peers.join("node")).arg(&setup.corpus).arg(&port);
        }
        "oximg" | "oximg-speed" => {
            command = Command::new(setup.peers.join("oximg/bin/oximg"));
            command.env("IMAGES_DIR", &setup.corpus).env("PORT", &port).env("OXIMG_BIND", "127.0.0.1");
            command.env("QUALITY", "80");
            if kind.name == "oximg-speed" {
                command.env("OXIMG_RESIZE", "srgb").env("OXIMG_DCT_MARGIN", "1").env("PRESET", "fast");
            }
        }
        "thumbor" => {
            let configuration = format!(
                "LOADER = 'thumbor.loaders.file_loader'\nFILE_LOADER_ROOT_PATH = '{}'\nALLOW_UNSAFE_URL = True\n\
                 RESULT_STORAGE = None\nSTORAGE = 'thumbor.storages.no_storage'\nSTATSD_HOST = None\n",
                setup.corpus.display()
            );
            let path = setup.folder.join("thumbor.conf");
            std::fs::write(&path, configuration).map_err(|error| error.to_string())?;
            command = Command::new(setup.peers.join("thumbor/bin/thumbor"));
            command.args(["--ip", "127.0.0.1", "--port", &port, "--processes", "2", "-l", "error", "-c"]).arg(path);
        }
        _ => {
            let module = "/usr/lib/nginx/modules/ngx_http_image_filter_module.so";
            if !Path::new(module).exists() {
                return Err("the package libnginx-mod-http-image-filter is missing".into());
            }
            let template =
                std::fs::read_to_string("benches/peers/nginx_filter.conf").map_err(|error| error.to_string())?;
            let text = template
                .replace("MODULE", module)
                .replace("FILES", &setup.corpus.to_string_lossy())
                .replace("FOLDER", &setup.folder.to_string_lossy())
                .replace("PORT", &port);
            let path = setup.folder.join("nginx_filter.conf");
            std::fs::write(&path, text).map_err(|error| error.to_string())?;
            command = Command::new("/usr/sbin/nginx");
            command.arg("-p").arg(&setup.folder).arg("-c").arg(path);
        }
    }
    Peer::start(&mut command, address, &log)
}

pub fn run(setup: &Setup, notes: &mut Vec<String>) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for workload in SERVER_WORKLOADS.iter().filter(|workload| setup.wants(workload.name)) {
        let Asked::Missing(family) = workload.asked else {
            rows.extend(cached::run(setup, workload, notes)?);
            continue;
        };
        let paths = setup.series(&workload.input, workload.n_originals);
        let originals = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>();
        let originals = originals.map_err(|error| error.to_string())?;
        let name_of = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let names: Vec<String> = paths.iter().filter_map(name_of).collect();
        let bytes = originals.first().ok_or_else(|| format!("{} has no originals", workload.name))?;
        let mut subjects = Vec::new();
        for profile in ["fast", "quality"] {
            match start_own(setup, profile, &family, &originals) {
                Ok(subject) => subjects.push(subject),
                Err(error) => return Err(format!("{}: {error}", workload.name)),
            }
        }
        // Nobody else chooses a format and a quality by himself; W10 is compared with our own W8.
        let kinds: &[Kind] = if workload.name == "W10" { &[] } else { &[IPX, OXIMG, OXIMG_SPEED, THUMBOR, NGINX] };
        for kind in kinds {
            match start_peer(setup, kind) {
                Ok(peer) => {
                    // The height is as three to four, so that fitting and filling give the same picture.
                    let requests = family.requests(names.len()).into_iter();
                    let paths = requests.map(|(original, (width, _))| {
                        (kind.path)(family.crop, width, (width * 3).div_ceil(4), &names[original])
                    });
                    let nominal = family.nominal();
                    subjects.push(Subject {
                        name: kind.name.into(),
                        running: Running::Peer(peer),
                        paths: paths.collect(),
                        next: 0,
                        nominal: (kind.path)(family.crop, nominal.0, nominal.1, &names[0]),
                        rounds: Vec::new(),
                    });
                }
                Err(error) => notes.push(format!("{} is left out of {}: {error}.", kind.name, workload.name)),
            }
        }
        let (kept, broken): (Vec<_>, Vec<_>) =
            subjects.into_iter().partition(|subject| fetch(subject).is_ok_and(|(status, _)| status == 200));
        for subject in &broken {
            notes.push(format!(
                "{} is left out of {}: it does not answer {}.",
                subject.name, workload.name, subject.nominal
            ));
        }
        drop(broken);
        let mut subjects = kept;
        for round in 0..setup.rounds {
            eprintln!("{} round {} of {}", workload.name, round + 1, setup.rounds);
            for at in order(subjects.len(), round) {
                measure(setup, workload, &mut subjects[at], setup.rounds - round)?;
            }
        }
        let reference = reference(setup, workload, &family, bytes);
        for subject in &subjects {
            rows.push(row(workload, subject, reference.as_ref()));
        }
    }
    Ok(rows)
}

fn start_own(setup: &Setup, profile: &'static str, family: &Family, originals: &[Vec<u8>]) -> Result<Subject, String> {
    let text = |error: tintype_benches::BenchError| error.to_string();
    let options = ServerOptions {
        program: &setup.program,
        renderer: "cpu",
        profile,
        core: None,
        url_cache_mb: None,
        stores: &[],
    };
    let server = Server::start(&options).map_err(text)?;
    for (number, original) in originals.iter().enumerate() {
        server.upload(&format!("bench-{number:02}"), original).map_err(text)?;
    }
    let path = |(number, size)| server.path(&family.transformation(size), &format!("bench-{number:02}"));
    let paths = family.requests(originals.len()).into_iter().map(path).collect();
    let nominal = path((0, family.nominal()));
    Ok(Subject {
        name: format!("tintype {profile}"),
        running: Running::Own(server),
        paths,
        next: 0,
        nominal,
        rounds: Vec::new(),
    })
}

fn fetch(subject: &Subject) -> Result<(u16, Vec<u8>), String> {
    let address = match &subject.running {
        Running::Own(server) => server.address,
        Running::Peer(peer) => peer.address,
    };
    tintype_benches::server::get(address, &subject.nominal).map_err(|error| error.to_string())
}

pub(crate) fn measure(
    setup: &Setup,
    workload: &ServerWorkload,
    subject: &mut Subject,
    rounds_left: usize,
) -> Result<(), String> {
    let Some(again) = subject.paths.first().filter(|_| workload.asked == Asked::Cached).cloned() else {
        return measure_misses(setup, workload, subject, rounds_left);
    };
    measure_paths(setup, workload, subject, Paths::Same(again))
}

fn measure_misses(
    setup: &Setup,
    workload: &ServerWorkload,
    subject: &mut Subject,
    rounds_left: usize,
) -> Result<(), String> {
    let share = match subject.running {
        Running::Own(_) => (subject.paths.len() - subject.next) / rounds_left.max(1),
        Running::Peer(_) => subject.paths.len(),
    };
    let paths = subject.paths[subject.next..subject.next + share].to_vec();
    if matches!(subject.running, Running::Own(_)) {
        subject.next += share;
    }
    measure_paths(setup, workload, subject, Paths::Once(Arc::new(paths)))
}

fn measure_paths(setup: &Setup, workload: &ServerWorkload, subject: &mut Subject, paths: Paths) -> Result<(), String> {
    let (address, pid) = match &subject.running {
        Running::Own(server) => (server.address, server.pid()),
        Running::Peer(peer) => (peer.address, peer.child.id()),
    };
    let family = family_of(pid);
    for member in &family {
        // Where the peak cannot be reset, that since the start is told.
        let _ = reset_peak(*member);
    }
    let cpu_s = || family.iter().filter_map(|member| cpu_s_of(*member)).sum::<f64>();
    let before = cpu_s();
    let outcome = load::run(&Load {
        server: address,
        paths,
        accept: CHROME_ACCEPT.into(),
        n_connections: workload.n_connections,
        duration: setup.load_duration,
        max_requests: usize::MAX,
        core: workload.one_core.then_some(cached::LOAD_CORE),
    })
    .map_err(|error| error.to_string())?;
    let cpu_ms = (cpu_s() - before) * 1e3 / (outcome.n_good.max(1)) as f64;
    let peak = family.iter().filter_map(|member| memory_of(*member)).map(|memory| memory.peak_bytes).sum::<u64>();
    subject.rounds.push((outcome, cpu_ms, peak as f64 / 1e6));
    Ok(())
}

/// What the nominal picture should look like.
fn reference(
    setup: &Setup,
    workload: &ServerWorkload,
    family: &Family,
    input: &[u8],
) -> Option<tintype_render::frame::Frame> {
    if workload.name == "W10" {
        return None;
    }
    let text: &'static str = Box::leak(family.transformation(family.nominal()).into_boxed_str());
    let transformations: &'static [&'static str] = Box::leak(Box::new([text]));
    let library = tintype_benches::workloads::Workload {
        name: workload.name,
        title: workload.title,
        input: workload.input,
        transformations,
        output: None,
    };
    setup.reference(&library, input)
}

pub(crate) fn row(
    workload: &ServerWorkload,
    subject: &Subject,
    reference: Option<&tintype_render::frame::Frame>,
) -> Row {
    let values = |read: fn(&(Outcome, f64, f64)) -> f64| subject.rounds.iter().map(read).collect::<Vec<f64>>();
    let samples = BTreeMap::from([
        ("images/s", values(|(outcome, ..)| outcome.per_second)),
        ("p50_ms", values(|(outcome, ..)| outcome.p50_ms)),
        ("p90_ms", values(|(outcome, ..)| outcome.p90_ms)),
        ("p99_ms", values(|(outcome, ..)| outcome.p99_ms)),
        ("max_ms", values(|(outcome, ..)| outcome.max_ms)),
        ("bytes", values(|(outcome, ..)| outcome.mean_bytes)),
        ("failed", values(|(outcome, ..)| outcome.n_failed as f64)),
        ("cpu_ms", values(|(_, cpu_ms, _)| *cpu_ms)),
        ("peak_MB", values(|(.., peak)| *peak)),
    ]);
    let ssimulacra2 = reference.and_then(|reference| {
        let (_, body) = fetch(subject).ok()?;
        tintype_benches::quality::score(reference, &body).ok()
    });
    Row { workload: workload.name, contender: subject.name.clone(), samples, ssimulacra2 }
}
