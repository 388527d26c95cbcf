//! Library contenders: processes that answer one order a line, and Tintype in this process.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tintype_benches::call::Call;

/// What one round of a workload cost.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub wall_ms: f64,
    pub cpu_ms: f64,
    pub bytes: f64,
}

/// A process that speaks the protocol of the workers beside `benches/peers`.
pub struct Worker {
    pub name: String,
    pub version: String,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start(command: &mut Command) -> Result<Worker, String> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("it does not start: {error}"))?;
        let orders = child.stdin.take();
        let Some(answers) = child.stdout.take() else { return Err("it has no output".into()) };
        let mut worker =
            Worker { name: String::new(), version: String::new(), child, orders, answers: BufReader::new(answers) };
        let hello = worker.answer()?;
        let text = |key: &str| hello[key].as_str().unwrap_or("unknown").to_owned();
        (worker.name, worker.version) = (text("name"), text("version"));
        Ok(worker)
    }

    fn answer(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("it ended".into()),
            Ok(_) => serde_json::from_str(&line).map_err(|_| format!("it answered {}", line.trim())),
            Err(error) => Err(error.to_string()),
        }
    }

    fn order(&mut self, order: &Value) -> Result<Value, String> {
        let pipe = self.orders.as_mut().ok_or("it takes no orders")?;
        writeln!(pipe, "{order}").map_err(|error| error.to_string())?;
        let answer = self.answer()?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    /// `None` when the contender does not know the workload.
    pub fn run(
        &mut self,
        workload: &str,
        min_ms: f64,
        quality: u32,
        keep: Option<&Path>,
    ) -> Result<Option<Round>, String> {
        let keep = keep.map(|path| path.to_string_lossy().into_owned());
        let answer = self.order(&json!({"workload": workload, "min_ms": min_ms, "quality": quality, "keep": keep}))?;
        if answer["unsupported"] == true {
            return Ok(None);
        }
        let number = |key: &str| answer[key].as_f64().ok_or_else(|| format!("its answer has no {key}"));
        Ok(Some(Round { wall_ms: number("wall_ms")?, cpu_ms: number("cpu_ms")?, bytes: number("bytes")? }))
    }

    /// Writes a picture as PNG; only pyvips can.
    pub fn convert(&mut self, from: &Path, to: &Path) -> Result<(), String> {
        self.order(&json!({"convert": [from, to]})).map(|_| ())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its orders ends it; where it does not listen, it is ended.
        self.orders = None;
        std::thread::sleep(std::time::Duration::from_millis(200));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One round of a call of our own, repeated for at least `min_ms`.
pub fn own_round(call: &Call, min_ms: f64, keep: Option<&Path>) -> Result<Round, String> {
    let text = |error: tintype_benches::BenchError| error.to_string();
    let (mut wall_ms, mut cpu_ms, mut n) = (0.0, 0.0, 0.0);
    loop {
        let (sample, pictures) = call.run().map_err(text)?;
        wall_ms += sample.wall_ms;
        cpu_ms += sample.cpu_ms;
        n += 1.0;
        if wall_ms >= min_ms {
            if let Some(path) = keep {
                std::fs::write(path, &pictures[pictures.len() / 2].bytes).map_err(|error| error.to_string())?;
            }
            let bytes: usize = pictures.iter().map(|picture| picture.bytes.len()).sum();
            return Ok(Round { wall_ms: wall_ms / n, cpu_ms: cpu_ms / n, bytes: bytes as f64 });
        }
    }
}
