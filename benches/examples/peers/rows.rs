//! What was measured, as tables of ratios and as JSON.

use serde::Serialize;
use std::collections::BTreeMap;
use tintype_benches::measure::Summary;
use tintype_benches::table::Table;

/// One contender on one workload: a value a round for every figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub workload: &'static str,
    pub contender: String,
    pub samples: BTreeMap<&'static str, Vec<f64>>,
    pub ssimulacra2: Option<f64>,
}

impl Row {
    fn median(&self, figure: &str) -> Option<f64> {
        Some(Summary::of(self.samples.get(figure)?)?.median)
    }
}

/// `figure` decides: the ratio says how many times better the first line of the workload is, in the same round.
pub fn table(rows: &[Row], figure: &'static str, more_is_better: bool, others: &[&'static str]) -> String {
    let mut head = vec!["workload", "contender", figure, "quartiles", "tintype fast is better by", "quartiles of it"];
    head.extend(others);
    head.push("SSIMULACRA2");
    let mut table = Table::new(&head);
    for row in rows {
        let first = rows.iter().find(|first| first.workload == row.workload).unwrap_or(row);
        let empty = Vec::new();
        let (theirs, ours) = (row.samples.get(figure).unwrap_or(&empty), first.samples.get(figure).unwrap_or(&empty));
        let ratio = if more_is_better { Summary::of_ratios(ours, theirs) } else { Summary::of_ratios(theirs, ours) };
        let own = Summary::of(theirs);
        let quartiles = |summary: &Summary| format!("{:.2}-{:.2}", summary.quartiles[0], summary.quartiles[1]);
        let mut cells = vec![
            row.workload.to_owned(),
            row.contender.clone(),
            own.map_or_else(|| "-".into(), |own| format!("{:.2}", own.median)),
            own.map_or_else(|| "-".into(), |own| quartiles(&own)),
            ratio.map_or_else(|| "-".into(), |ratio| format!("{:.2}", ratio.median)),
            ratio.map_or_else(|| "-".into(), |ratio| quartiles(&ratio)),
        ];
        for other in others {
            let digits = if *other == "bytes" { 0 } else { 2 };
            cells.push(row.median(other).map_or_else(|| "-".into(), |value| format!("{value:.digits$}")));
        }
        cells.push(row.ssimulacra2.map_or_else(|| "-".into(), |score| format!("{score:.2}")));
        table.row(cells);
    }
    table.to_text()
}
