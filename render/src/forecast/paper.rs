//! A paper model of cards that nobody here has: images a second for each workload, with its assumptions.
//!
//! UNVERIFIED. No figure of this file was measured. It exists so that a run on a real card can be held against it.

use super::workloads::{WORKLOADS, Workload};
use super::{Shape, launches, least, traffic};
use crate::error::Result;
use crate::plan::facts::Profile;
use serde::Serialize;
use std::fmt::Write;

/// What is assumed of a card. Peaks are from its maker's data sheet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Card {
    pub name: &'static str,
    /// Peak bandwidth of its memory.
    pub memory_gb_per_s: f64,
    /// Peak of its bus in one direction.
    pub bus_gb_per_s: f64,
    /// Peak of f32 arithmetic; a multiplication with an addition counts as two.
    pub tera_flops: f64,
}

/// The cards of the table.
pub const CARDS: [Card; 3] = [
    Card { name: "L4", memory_gb_per_s: 300.0, bus_gb_per_s: 31.5, tera_flops: 30.3 },
    Card { name: "RTX 4090", memory_gb_per_s: 1008.0, bus_gb_per_s: 31.5, tera_flops: 82.6 },
    Card { name: "H100 PCIe", memory_gb_per_s: 2000.0, bus_gb_per_s: 63.0, tera_flops: 51.2 },
];

/// What is assumed of everything else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assumptions {
    /// Part of the peak bandwidth of memory that kernels reach.
    pub memory_share: f64,
    /// Part of the peak of the bus that copies reach.
    pub bus_share: f64,
    /// Part of the peak of arithmetic that kernels reach.
    pub flops_share: f64,
    /// Cost of a launch with its barrier.
    pub launch_us: f64,
    /// Cost of a submission with its fence, as the host sees it.
    pub submission_us: f64,
    /// Originals in one batch.
    pub batch: u64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Assumptions {
            memory_share: 0.6,
            bus_share: 0.75,
            flops_share: 0.25,
            launch_us: 8.0,
            submission_us: 60.0,
            batch: 16,
        }
    }
}

/// Time of one original on a card, in microseconds, by what it is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub up_us: f64,
    pub kernels_us: f64,
    pub down_us: f64,
    /// Launches and submission, which nothing hides.
    pub overhead_us: f64,
}

impl Estimate {
    /// Estimates one original of a batch of shapes.
    pub fn of(shapes: &[Shape], originals: u64, card: &Card, assumed: &Assumptions) -> Estimate {
        let (least, traffic, launches) = (least(shapes), traffic(shapes), launches(shapes));
        let each = |microseconds: f64| microseconds / originals.max(1) as f64;
        let at = |bytes: u64, gb_per_s: f64| bytes as f64 / (gb_per_s * 1e3);
        let bus = card.bus_gb_per_s * assumed.bus_share;
        let memory = at(traffic.read + traffic.written, card.memory_gb_per_s * assumed.memory_share);
        let arithmetic = 2.0 * traffic.multiply_adds as f64 / (card.tera_flops * assumed.flops_share * 1e6);
        Estimate {
            up_us: each(at(least.up, bus)),
            kernels_us: each(memory.max(arithmetic)),
            down_us: each(at(least.down, bus)),
            overhead_us: each(launches.one_window as f64 * assumed.launch_us + assumed.submission_us),
        }
    }

    /// Originals a second. A queue does copies and kernels one after the other: only the host's part overlaps.
    pub fn per_second(&self) -> f64 {
        1e6 / (self.up_us + self.kernels_us + self.down_us + self.overhead_us)
    }

    /// What takes most of the time.
    pub fn bound_by(&self) -> &'static str {
        let parts = [
            (self.up_us, "upload"),
            (self.kernels_us, "kernels"),
            (self.down_us, "readback"),
            (self.overhead_us, "launches"),
        ];
        parts.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or("nothing", |part| part.1)
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub workload: &'static str,
    pub card: &'static str,
    pub estimate: Estimate,
    /// Originals a second that the card could resample and compose; decoding and encoding on the CPU are not in it.
    pub per_second: f64,
}

/// Every workload on every card.
pub fn table(profile: Profile, assumed: &Assumptions) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for workload in &WORKLOADS {
        rows.extend(rows_of(workload, profile, assumed)?);
    }
    Ok(rows)
}

fn rows_of(workload: &Workload, profile: Profile, assumed: &Assumptions) -> Result<Vec<Row>> {
    let shapes = workload.shapes(profile, assumed.batch)?;
    let row = |card: &Card| {
        let estimate = Estimate::of(&shapes, assumed.batch, card, assumed);
        Row { workload: workload.name, card: card.name, estimate, per_second: estimate.per_second() }
    };
    Ok(CARDS.iter().map(row).collect())
}

/// The table as text, headed by what it is worth.
pub fn print(profile: Profile, assumed: &Assumptions) -> Result<String> {
    let mut text = format!(
        "UNVERIFIED paper model, {profile:?} profile: originals a second of the device's part alone (upload, kernels, \
         readback, launches);\ndecoding and encoding stay on the CPU and usually bound a host first. Assumed: batches of \
         {}, {:.0} % of memory bandwidth,\n{:.0} % of the bus, {:.0} % of f32 peak, {} us a launch, {} us a submission, \
         no overlap on the device.\nW6 is W1 for the device; W7 does not render.\n\n",
        assumed.batch,
        assumed.memory_share * 100.0,
        assumed.bus_share * 100.0,
        assumed.flops_share * 100.0,
        assumed.launch_us,
        assumed.submission_us,
    );
    let _ = writeln!(
        text,
        "{:<9} {:<10} {:>10}  {:<9} us: up, kernels, down, launches",
        "workload", "card", "per s", "bound by"
    );
    for row in table(profile, assumed)? {
        let Estimate { up_us, kernels_us, down_us, overhead_us } = row.estimate;
        let _ = writeln!(
            text,
            "{:<9} {:<10} {:>10.0}  {:<9} {up_us:.1}, {kernels_us:.1}, {down_us:.1}, {overhead_us:.1}",
            row.workload,
            row.card,
            row.per_second,
            row.estimate.bound_by(),
        );
    }
    Ok(text)
}

/// The card of the table that an adapter's name means, for `measured over expected`.
pub fn card_named(adapter: &str) -> Option<&'static Card> {
    let name = adapter.to_ascii_uppercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    CARDS.iter().find(|card| {
        let mut wanted = card.name.split(' ').filter(|word| *word != "PCIe");
        wanted.all(|word| words.contains(&word))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_workload_has_a_figure_on_every_card_and_a_faster_card_a_greater_one() {
        for profile in [Profile::Fast, Profile::Quality] {
            let rows = table(profile, &Assumptions::default()).unwrap();
            assert_eq!(rows.len(), WORKLOADS.len() * CARDS.len());
            for workload in rows.chunks(CARDS.len()) {
                assert!(workload.iter().all(|row| row.per_second.is_finite() && row.per_second > 1.0), "{workload:?}");
                assert!(workload[1].per_second > workload[0].per_second, "{workload:?}");
            }
            let text = print(profile, &Assumptions::default()).unwrap();
            assert!(text.starts_with("UNVERIFIED") && text.lines().count() > rows.len());
        }
    }

    #[test]
    fn an_estimate_is_made_of_bytes_over_bandwidth() {
        let workload = WORKLOADS.iter().find(|workload| workload.name == "W5").unwrap();
        let shapes = workload.shapes(Profile::Fast, 4).unwrap();
        let assumed = Assumptions { bus_share: 1.0, batch: 4, ..Assumptions::default() };
        let card = Card { name: "made up", memory_gb_per_s: 1e9, bus_gb_per_s: 1.0, tera_flops: 1e9 };
        let estimate = Estimate::of(&shapes, 4, &card, &assumed);
        // 1600x1200 and 800x600 pixels of four bytes at a byte a nanosecond.
        assert!((estimate.up_us - 7680.0).abs() < 0.01 && (estimate.down_us - 1920.0).abs() < 0.01, "{estimate:?}");
        assert_eq!(estimate.bound_by(), "upload");
    }

    #[test]
    fn adapters_are_found_by_whole_words_of_their_names() {
        assert_eq!(card_named("NVIDIA L4").map(|card| card.name), Some("L4"));
        assert_eq!(card_named("NVIDIA GeForce RTX 4090").map(|card| card.name), Some("RTX 4090"));
        assert_eq!(card_named("NVIDIA H100 PCIe").map(|card| card.name), Some("H100 PCIe"));
        assert_eq!(card_named("NVIDIA L40S"), None);
        assert_eq!(card_named("llvmpipe (LLVM 15.0.6, 256 bits)"), None);
    }
}
