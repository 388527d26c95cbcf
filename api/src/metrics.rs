//! What the server tells Prometheus about itself.

use crate::config::budget::MemoryBudget;
use crate::http::MetricsText;
use crate::jobs::copy::CopyCounts;
use crate::jobs::metrics::JobMetrics;
use crate::service::deliver::DeliveryCache;
use crate::service::keep::DerivedKeeper;
use crate::service::upgrade::Upgrades;
use crate::storage::{Fault, FaultCounts};
use std::sync::Arc;
use tintype_scheduler::Scheduler;

/// Text of `/metrics`.
pub(crate) struct Metrics {
    pub scheduler: Arc<Scheduler>,
    pub cache: DeliveryCache,
    pub keeper: Arc<DerivedKeeper>,
    pub jobs: Arc<JobMetrics>,
    pub upgrades: Arc<Upgrades>,
    pub memory: MemoryBudget,
    pub faults: Arc<FaultCounts>,
    /// Where there is a second store.
    pub copies: Option<Arc<CopyCounts>>,
    pub renderer: String,
}

impl MetricsText for Metrics {
    fn render(&self) -> String {
        let mut text = self.scheduler.metrics().to_string();
        let label: String = self.renderer.chars().filter(|c| !matches!(c, '"' | '\\' | '\n')).collect();
        text += "# HELP tintype_renderer_info What renders, and why.\n# TYPE tintype_renderer_info gauge\n";
        text += &format!("tintype_renderer_info{{renderer=\"{label}\"}} 1\n");
        text += "# HELP tintype_memory_budget_bytes Memory that each part of the server may use.\n";
        text += "# TYPE tintype_memory_budget_bytes gauge\n";
        for (part, bytes) in self.memory.parts() {
            text += &format!("tintype_memory_budget_bytes{{part=\"{part}\"}} {bytes}\n");
        }
        text += &self.jobs.render();
        text += "# HELP tintype_url_cache_bytes Bytes of finished answers in memory.\n";
        text += "# TYPE tintype_url_cache_bytes gauge\n";
        text += &format!("tintype_url_cache_bytes {}\n", self.cache.bytes());
        text += "# HELP tintype_pool_bytes Bytes of buffers that are kept to be used again.\n";
        text += "# TYPE tintype_pool_bytes gauge\n";
        text += &format!("tintype_pool_bytes {}\n", tintype_render::pool::held_bytes());
        text +=
            "# HELP tintype_derived_evicted_total Derived pictures that were removed because there were too many.\n";
        text += "# TYPE tintype_derived_evicted_total counter\n";
        text += &format!("tintype_derived_evicted_total {}\n", self.keeper.evicted());
        text += "# HELP tintype_original_faults_total Originals that the storage could not give as they were stored, and whether a copy answered.\n";
        text += "# TYPE tintype_original_faults_total counter\n";
        for fault in Fault::ALL {
            let (mended, lost) = self.faults.of(fault);
            let fault = fault.as_str();
            text += &format!("tintype_original_faults_total{{fault=\"{fault}\",answered=\"copy\"}} {mended}\n");
            text += &format!("tintype_original_faults_total{{fault=\"{fault}\",answered=\"error\"}} {lost}\n");
        }
        if let Some(copies) = &self.copies {
            text += &copies.render();
        }
        let counts = self.upgrades.counts();
        text += "# HELP tintype_provisional_answers_total Automatic formats that were answered in the next best one.\n";
        text += "# TYPE tintype_provisional_answers_total counter\n";
        text += &format!("tintype_provisional_answers_total {}\n", counts.provisional);
        text += "# HELP tintype_upgrades_total Better pictures made after such answers, by how that ended.\n";
        text += "# TYPE tintype_upgrades_total counter\n";
        for (outcome, n) in [("finished", counts.finished), ("failed", counts.failed), ("dropped", counts.dropped)] {
            text += &format!("tintype_upgrades_total{{outcome=\"{outcome}\"}} {n}\n");
        }
        text
    }
}
