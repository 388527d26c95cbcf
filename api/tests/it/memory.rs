//! The real program on pictures of 24 megapixels: what it takes at most stays within the budget of a 512 MB container.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{basic, file_part, text_part};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format};
use tintype_render::plan::geometry::Size;
use tintype_render::plan::{Encoding, Quality};
use tintype_render::{Limits, codec};

/// What a container of 512 MB gives, in MB.
const BUDGET_MB: u64 = 384;
const LIMIT_KB: u64 = 512 * 1024;

struct Program {
    child: Child,
    port: u16,
    credentials: String,
    _folder: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let budget = BUDGET_MB.to_string();
        let listen = format!("127.0.0.1:{port}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tintype"))
            .args(["serve", "--renderer", "cpu", "--threads", "2", "--memory-budget-mb", &budget, "--listen", &listen])
            .args(["--data-dir", folder.path().to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let url =
            lines.find_map(|line| Some(line.split_once("cloudinary://")?.1.split('@').next()?.to_owned())).unwrap();
        assert!(lines.any(|line| line.starts_with("listening")));
        // Keeps the pipe open.
        std::thread::spawn(move || lines.for_each(drop));
        let (key, secret) = url.split_once(':').unwrap();
        Program { child, port, credentials: basic(key, secret), _folder: folder }
    }

    /// The status line and everything behind it.
    fn ask(&self, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1"), &[])
    }

    fn upload(&self, public_id: &str, eager: &str, file: &[u8]) {
        let mut body = (text_part("public_id", public_id) + &text_part("eager", eager)).into_bytes();
        body.extend(file_part("big.jpg", file));
        body.extend_from_slice(b"--edge--\r\n");
        let head = format!(
            "POST /v1_1/demo/image/upload HTTP/1.1\r\nauthorization: {}\r\ncontent-length: {}\r\n\
             content-type: multipart/form-data; boundary=edge",
            self.credentials,
            body.len()
        );
        let answer = self.ask(&head, &body);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    /// The most that was resident, in KB.
    fn peak_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// 6000 by 4000 pixels with something in every block.
fn picture(progressive: bool) -> Vec<u8> {
    let size = Size::new(6000, 4000);
    let pixels = (0..size.pixels() as u32).flat_map(|at| {
        let (x, y) = (at % 6000, at / 6000);
        [((x / 7) ^ (y / 5)) as u8, (x / 24) as u8, (y / 16) as u8, 255]
    });
    let frame = Frame::new(size, false, pixels.collect()).unwrap();
    let chroma = Some(ChromaSampling::Half);
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(85), chroma, progressive };
    codec::encode(&frame, &encoding, &Limits::default()).unwrap().bytes
}

#[test]
fn pictures_of_24_megapixels_fit_a_container_of_512_mb() {
    let program = Program::start();
    let eager: Vec<String> = (1..=10).map(|n| format!("c_scale,w_{}", n * 200)).collect();
    program.upload("plain", &eager.join("|"), &picture(false));
    program.upload("scans", "c_scale,w_500", &picture(true));
    // Sizes of their own, so that each is a miss; some need every pixel.
    let texts =
        ["c_scale,w_300/plain", "c_scale,w_301/scans", "c_scale,w_2500/scans", "c_crop,w_3000,h_3000,x_1/plain"];
    std::thread::scope(|scope| {
        for (n, text) in (0..3).flat_map(|n| texts.map(|text| (n, text))) {
            let (steps, id) = text.rsplit_once('/').unwrap();
            let path = format!("/demo/image/upload/{steps}/q_{}/{id}.jpg", 70 + n);
            let program = &program;
            scope.spawn(move || {
                let answer = program.get(&path);
                assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {}", answer.lines().next().unwrap());
            });
        }
    });
    let peak_kb = program.peak_kb();
    println!("at most {} MB were resident", peak_kb / 1024);
    assert!(peak_kb < LIMIT_KB, "{peak_kb} KB");
}
