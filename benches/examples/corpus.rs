//! Writes the inputs of the workloads, for peers that read files: `cargo run --release --example corpus -- FOLDER [NAME…]`

use std::path::Path;
use std::process::ExitCode;
use tintype_benches::corpus::{INPUTS, Photos};

const SAMPLES: [&[u8]; 4] = [
    include_bytes!("../../api/assets/samples/astronaut.png"),
    include_bytes!("../../api/assets/samples/chelsea.png"),
    include_bytes!("../../api/assets/samples/coffee.png"),
    include_bytes!("../../api/assets/samples/rocket.jpg"),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, names)) = words.split_first() else {
        eprintln!("usage: corpus FOLDER [NAME...]");
        return ExitCode::from(2);
    };
    match write(Path::new(folder), names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corpus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, names: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let photos = Photos::decode(&SAMPLES)?;
    for input in INPUTS.iter().filter(|input| names.is_empty() || names.iter().any(|name| name == input.name)) {
        let path = folder.join(format!("{}.{}", input.name, input.format.extension()));
        let bytes = photos.make(input)?;
        let bits = bytes.len() as f64 * 8.0 / input.size.pixels() as f64;
        std::fs::write(&path, &bytes)?;
        println!("{}: {}, {:.2} MB, {bits:.2} bits a pixel", path.display(), input.size, bytes.len() as f64 / 1e6);
    }
    Ok(())
}
