//! The bench in its smallest form: every kind of row, on the CPU and on a software adapter where there is one.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tintype_api::app::choose_renderer;
use tintype_api::config::RendererChoice;
use tintype_benches::{BenchBackend, Options, Report, html};
use tintype_render::backend::Backend;
use tintype_render::cpu::CpuBackend;
use tintype_render::plan::facts::Profile;

fn options(backends: Vec<BenchBackend>, program: bool, only: &[&str]) -> Options {
    Options {
        rounds: 1,
        backends,
        program: program.then(|| env!("CARGO_BIN_EXE_tintype").into()),
        load_duration: Duration::from_millis(400),
        n_originals: 2,
        n_uploads: 40,
        stores: Vec::new(),
        photos: vec![Bytes::from_static(include_bytes!("../../assets/samples/coffee.png"))],
        logo: Bytes::from_static(include_bytes!("../../assets/samples/cloudinary_icon.png")),
        only: only.iter().map(|&name| name.to_owned()).collect(),
        profile: Some(Profile::Fast),
        progress: Box::new(|_| {}),
    }
}

fn cpu() -> BenchBackend {
    BenchBackend::cpu("cpu", Arc::new(CpuBackend::new()))
}

/// Every latency is there and in order.
fn in_order(latency: &serde_json::Value) {
    let of = |name: &str| latency[name]["median"].as_f64().unwrap();
    let found = [of("p50_ms"), of("p90_ms"), of("p99_ms"), of("max_ms")];
    assert!(found[0] > 0.0 && found.is_sorted(), "{latency}");
}

fn whole(report: &Report) -> serde_json::Value {
    let text = report.to_text();
    assert!(text.contains("Memory: a copy moves"), "{text}");
    let page = html::page(report);
    assert!(page.ends_with("</html>\n") && !page.contains("NaN") && !page.contains("inf"), "{page}");
    serde_json::from_str(&serde_json::to_string(report).unwrap()).unwrap()
}

#[test]
fn a_run_over_http_holds_every_kind_of_row() {
    let report = tintype_benches::run(&options(vec![cpu()], true, &["W9", "W8shared"])).unwrap();
    let json = whole(&report);
    assert_eq!(json["schema"], 4);
    assert!(json["memory"]["copy_bytes_per_second"].as_f64().unwrap() > 1e6, "{}", json["memory"]);
    assert!(json["no_expectation"].as_str().unwrap().contains("No adapter"), "{json}");
    let rows = json["servers"].as_array().unwrap();
    let names: Vec<_> =
        rows.iter().map(|row| (row["workload"].as_str().unwrap(), row["n_originals"].as_u64())).collect();
    assert_eq!(names, [("W8shared", Some(1)), ("W9", Some(2))]);
    for row in rows {
        assert_eq!((&row["n_failed"], &row["first_failure"]), (&0.into(), &serde_json::Value::Null), "{row}");
        in_order(&row["latency"]);
        let open = row["open"].as_array().unwrap();
        let shares: Vec<_> = open.iter().map(|open| open["share"].as_f64().unwrap()).collect();
        assert_eq!(shares, [0.5, 0.8]);
        for open in open {
            in_order(&open["latency"]);
            let part =
                open["offered_per_second"]["median"].as_f64().unwrap() / row["per_second"]["median"].as_f64().unwrap();
            assert!((part - open["share"].as_f64().unwrap()).abs() < 1e-6, "{row}");
        }
        let states = row["states"].as_array().unwrap();
        let names: Vec<_> = states.iter().map(|state| state["state"].as_str().unwrap()).collect();
        assert_eq!(names, ["cold", "stored", "warm"]);
        for state in states {
            in_order(&state["latency"]);
            // What was rendered before is never rendered again, whether it is stored or in the cache.
            assert_eq!((&state["n_requests"], &state["n_rendered_again"]), (&32.into(), &0.into()), "{state}");
        }
        let answers = &row["answers"];
        assert_eq!(answers["n_answers"], row["n_originals"], "{answers}");
        let score = answers["ssimulacra2"]["low"].as_f64().unwrap();
        assert!(score > 40.0 && score < 100.0, "{answers}");
        assert!(answers["bytes"]["low"].as_f64().unwrap() > 10_000.0, "{answers}");
    }
    let text = report.to_text();
    for title in ["Open loops", "Cold, stored and warm", "page cache is not controlled"] {
        assert!(text.contains(title), "{text}");
    }
}

#[test]
fn a_run_on_an_adapter_holds_calibration_and_counters() {
    let chosen = choose_renderer(RendererChoice::Software, 1 << 30);
    let Ok(chosen) = chosen else {
        eprintln!("skipped: {}", chosen.unwrap_err());
        return;
    };
    let gpu = chosen.gpu.unwrap();
    let name = gpu.adapter().name.clone();
    let adapter = BenchBackend { name: gpu.name(), renderer: "software".into(), backend: gpu, devices: chosen.devices };
    let report = tintype_benches::run(&options(vec![cpu(), adapter], false, &["W9", "W5"])).unwrap();
    let json = whole(&report);
    assert_eq!(json["notes"], serde_json::json!([]));
    assert!(json["no_expectation"].as_str().unwrap().contains("is software"), "{}", json["no_expectation"]);
    let adapters = json["adapters"].as_array().unwrap();
    assert_eq!((adapters.len(), adapters[0]["name"].as_str()), (1, Some(name.as_str())));
    assert!(adapters[0]["batch_us"].as_f64().unwrap() > 0.0, "{adapters:?}");
    let kernels = adapters[0]["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), 8);
    for kernel in kernels {
        let of = |side: &str| kernel[side].as_f64().unwrap();
        assert!(of("device_per_second") > 0.0 && of("cpu_thread_per_second") > 0.0, "{kernel}");
    }
    let batches = json["batches"].as_array().unwrap();
    assert_eq!(batches.len(), 2);
    for row in batches {
        assert_eq!(
            (&row["expected_per_second"], &row["of_expected"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        let of = |name: &str| row[name].as_f64().unwrap();
        assert!(row["per_second"]["median"].as_f64().unwrap() > 0.0, "{row}");
        assert!(of("submissions") >= 1.0 && of("submissions") == of("windows"), "{row}");
        assert!(of("dispatches") >= 1.0 && of("dispatches") <= of("dispatches_at_most"), "{row}");
        // What the issue demands of the executor, asserted where the bench prints it.
        assert!(of("bytes_of_least") >= 1.0 && of("bytes_of_least") <= 1.05, "{row}");
        assert!(of("host_ms") > 0.0 && of("waiting_ms") > 0.0, "{row}");
        assert!((0.0..=1.0).contains(&of("overlapped")), "{row}");
    }
    let library = json["library"].as_array().unwrap();
    assert_eq!(library.len(), 4);
    assert!(library.iter().all(|row| row["ssimulacra2"].as_f64().is_some_and(|score| score > 40.0)), "{library:?}");
}

#[test]
fn the_library_is_measured() {
    let report = tintype_benches::run(&options(vec![cpu()], true, &["assets"])).unwrap();
    assert!(report.to_text().contains("| SQLite + folder"), "{}", report.to_text());
    let json = whole(&report);
    let row = &json["assets"][0];
    assert_eq!((&row["n_uploads"], &row["n_failed"]), (&40.into(), &0.into()), "{row}");
    for name in ["upload", "list", "search", "details"] {
        let of = |what: &str| row[name][what].as_f64().unwrap();
        assert!(of("p50_ms") > 0.0 && of("p50_ms") <= of("p99_ms") && of("p99_ms") <= of("max_ms"), "{row}");
    }
    for name in ["uploads_per_second", "cpu_ms", "early_bytes", "late_bytes", "peak_bytes"] {
        assert!(row[name].as_f64().unwrap() > 0.0, "{name}: {row}");
    }
}
