//! Tintype beside its peers, in interleaved rounds: what `make bench-peers` runs after `deploy/peers.sh` set them up.
//!
//! `cargo run --release --example peers -- --program TINTYPE --peers FOLDER --out FOLDER [--rounds N] [--only W1,W8]
//! [--seconds S] [--part library|served]`

mod cached;
mod contender;
mod library;
mod rows;
mod served;

use bytes::Bytes;
use contender::Worker;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use tintype_benches::call::Call;
use tintype_benches::corpus::{INPUTS, Input, Photos};
use tintype_benches::workloads::{SERVER_WORKLOADS, Workload};
use tintype_benches::{BenchBackend, Host, quality};
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::plan::facts::Profile;

const SAMPLES: [&[u8]; 4] = [
    include_bytes!("../../../api/assets/samples/astronaut.png"),
    include_bytes!("../../../api/assets/samples/chelsea.png"),
    include_bytes!("../../../api/assets/samples/coffee.png"),
    include_bytes!("../../../api/assets/samples/rocket.jpg"),
];
const LOGO: &str = "api/assets/samples/cloudinary_icon.png";

/// What is measured, and where things are.
pub struct Setup {
    pub program: PathBuf,
    /// Where `deploy/peers.sh` put the peers.
    pub peers: PathBuf,
    pub out: PathBuf,
    /// For what is written on the way.
    pub folder: PathBuf,
    pub corpus: PathBuf,
    pub rounds: usize,
    pub load_duration: Duration,
    pub only: Vec<String>,
    pub part: Option<String>,
    pub logo: Bytes,
}

impl Setup {
    pub fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == workload)
    }

    pub fn input(&self, input: &Input) -> PathBuf {
        self.corpus.join(format!("{}.{}", input.name, input.format.extension()))
    }

    /// Files of one kind with different pictures, which all servers are asked for in the same order.
    pub fn series(&self, input: &Input, n: usize) -> Vec<PathBuf> {
        let name = |number| format!("{}_{number:02}_of_{n}.{}", input.name, input.format.extension());
        (0..n).map(|number| self.corpus.join(name(number))).collect()
    }

    /// What the first picture of a workload should look like.
    pub fn reference(&self, workload: &Workload, input: &[u8]) -> Option<Frame> {
        let backend = BenchBackend::cpu("cpu", Arc::new(CpuBackend::new()));
        let detector = Arc::new(FaceDetector::new().ok()?);
        let input = Bytes::copy_from_slice(input);
        let call = Call::new(workload, &input, &self.logo, Profile::Quality, &backend, detector).ok()?;
        quality::reference(call.requests.first()?, &call.sources).ok()
    }
}

fn main() -> ExitCode {
    match parse().and_then(|setup| run(&setup)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Setup, String> {
    let mut setup = Setup {
        program: PathBuf::new(),
        peers: PathBuf::new(),
        out: PathBuf::new(),
        folder: std::env::temp_dir().join(format!("tintype-peers-{}", std::process::id())),
        corpus: PathBuf::new(),
        rounds: 7,
        load_duration: Duration::from_secs(3),
        only: Vec::new(),
        part: None,
        logo: Bytes::from(std::fs::read(LOGO).map_err(|error| format!("cannot read {LOGO}: {error}"))?),
    };
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} takes a value", pair[0])) };
        let number = || value.parse::<u32>().map_err(|_| format!("{name} takes a number, not {value}"));
        match name.as_str() {
            "--program" => setup.program = value.into(),
            "--peers" => setup.peers = std::path::absolute(value).map_err(|error| error.to_string())?,
            "--out" => setup.out = value.into(),
            "--rounds" => setup.rounds = number()?.max(1) as usize,
            "--seconds" => setup.load_duration = Duration::from_secs(number()?.into()),
            "--only" => setup.only = value.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            "--part" => setup.part = Some(value.clone()),
            _ => return Err(format!("{name} is not known")),
        }
    }
    if setup.program.as_os_str().is_empty() || setup.peers.as_os_str().is_empty() || setup.out.as_os_str().is_empty() {
        return Err("--program, --peers and --out are needed".into());
    }
    setup.corpus = setup.peers.join("corpus");
    Ok(setup)
}

fn run(setup: &Setup) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(setup.folder.join("temp")).map_err(text)?;
    std::fs::create_dir_all(&setup.out).map_err(text)?;
    make_corpus(setup)?;
    let mut notes = Vec::new();
    let mut versions = vec![format!("tintype: {}", commit())];
    let mut report = serde_json::json!({
        "schema": 2, "host": Host::detect(vec![]), "rounds": setup.rounds, "load_s": setup.load_duration.as_secs(),
    });
    let mut shown = String::new();
    if setup.part.as_deref() != Some("served") {
        let mut workers = workers(setup, &mut notes);
        versions.extend(workers.iter().map(|worker| worker.version.clone()));
        let rows = library::run(setup, &mut workers, &mut notes)?;
        shown += "Library calls, CPU ms on one core\n\n";
        shown += &rows::table(&rows, "cpu_ms", false, &["wall_ms", "bytes"]);
        report["library"] = serde_json::json!(rows);
    }
    if setup.part.as_deref() != Some("library") {
        let rows = served::run(setup, &mut notes)?;
        shown += "\nServers on all cores; originals in turn but for W8shared, whose misses of one original share its decode\n\n";
        shown += &rows::table(
            &rows,
            "images/s",
            true,
            &["p50_ms", "p90_ms", "p99_ms", "max_ms", "cpu_ms", "peak_MB", "bytes", "failed"],
        );
        report["served"] = serde_json::json!(rows);
    }
    versions.extend(
        std::fs::read_to_string(setup.peers.join("versions.txt")).unwrap_or_default().lines().map(str::to_owned),
    );
    report["versions"] = serde_json::json!(versions);
    report["notes"] = serde_json::json!(notes);
    let head = format!("{} interleaved rounds, medians with quartiles\n{}\n", setup.rounds, versions.join("\n"));
    let notes: String = notes.iter().map(|note| format!("\n{note}\n")).collect();
    let all = format!("{head}\n{shown}{notes}");
    println!("{all}");
    let name = setup.part.as_deref().map_or(String::new(), |part| format!("-{part}"));
    std::fs::write(setup.out.join(format!("peers{name}.md")), &all).map_err(text)?;
    let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    std::fs::write(setup.out.join(format!("peers{name}.json")), json).map_err(text)?;
    std::fs::remove_dir_all(&setup.folder).map_err(text)
}

fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".into(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}

/// Writes the inputs that are not there yet.
fn make_corpus(setup: &Setup) -> Result<(), String> {
    std::fs::create_dir_all(&setup.corpus).map_err(|error| error.to_string())?;
    let photos = Photos::decode(&SAMPLES).map_err(|error| error.to_string())?;
    for input in INPUTS {
        let path = setup.input(input);
        if !path.exists() {
            eprintln!("making {}", path.display());
            let bytes = photos.make(input).map_err(|error| error.to_string())?;
            std::fs::write(&path, bytes).map_err(|error| error.to_string())?;
        }
    }
    for workload in SERVER_WORKLOADS {
        let paths = setup.series(&workload.input, workload.n_originals);
        if paths.iter().all(|path| path.exists()) {
            continue;
        }
        eprintln!("making {} originals of {}", paths.len(), workload.name);
        let files = photos.series(&workload.input, paths.len()).map_err(|error| error.to_string())?;
        for (path, bytes) in paths.iter().zip(files) {
            std::fs::write(path, bytes).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn workers(setup: &Setup, notes: &mut Vec<String>) -> Vec<Worker> {
    let mut sharp = Command::new("node");
    sharp.arg("benches/peers/sharp_worker.mjs").arg(setup.peers.join("node")).arg(&setup.corpus).arg(LOGO);
    let python = |venv: &Path, kind: &str| {
        let mut command = Command::new(venv.join("bin/python"));
        command.arg("benches/peers/python_worker.py").arg(kind).arg(&setup.corpus).arg(LOGO);
        command
    };
    let py = setup.peers.join("py");
    let commands = [("sharp", sharp), ("pyvips", python(&py, "pyvips")), ("Pillow-SIMD", python(&py, "pillow"))];
    let mut workers = Vec::new();
    for (name, mut command) in commands {
        match Worker::start(&mut command) {
            Ok(worker) => workers.push(worker),
            Err(error) => notes.push(format!("{name} is left out of the library rows: {error}.")),
        }
    }
    workers
}
