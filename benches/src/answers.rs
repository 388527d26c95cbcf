//! How good the pictures are that a server answers with: one of every original, against the reference of library calls.

use crate::call::Call;
use crate::measure::Summary;
use crate::server::Server;
use crate::workloads::CHROME_ACCEPT;
use crate::{BenchBackend, BenchError, quality};
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::plan::facts::Profile;

/// Answers for one size of every original.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerRow {
    pub transformation: String,
    pub n_answers: usize,
    /// Over the answers; `None` where they are AVIF, which cannot be read here.
    pub ssimulacra2: Option<Summary>,
    pub bytes: Summary,
}

/// What one transformation of every original should look like.
pub(crate) struct References {
    transformation: String,
    frames: Vec<Frame>,
}

impl References {
    pub fn make(transformation: &str, originals: &[Bytes]) -> Result<References, BenchError> {
        let backend = BenchBackend::cpu("cpu", Arc::new(CpuBackend::new()));
        let detector = Arc::new(FaceDetector::new()?);
        let frame = |original: &Bytes| {
            let logo = Bytes::new();
            let texts = [transformation];
            let call = Call::of("answers", &texts, original, &logo, Profile::Quality, &backend, detector.clone())?;
            let request = call.requests.first().ok_or_else(|| BenchError::Input("nothing is asked for".into()))?;
            quality::reference(request, &call.sources)
        };
        let frames = originals.iter().map(frame).collect::<Result<_, _>>()?;
        Ok(References { transformation: transformation.to_owned(), frames })
    }

    /// Asks a server for every picture and scores it. `id` names the original of a number.
    pub fn score(&self, server: &Server, id: impl Fn(usize) -> String) -> Result<AnswerRow, BenchError> {
        let (mut scores, mut lengths) = (Vec::new(), Vec::new());
        for (number, frame) in self.frames.iter().enumerate() {
            let path = server.path(&self.transformation, &id(number));
            let (status, body) = server.get_as(&path, CHROME_ACCEPT)?;
            if status != 200 {
                return Err(BenchError::Server(format!("{path} was answered with {status}")));
            }
            lengths.push(body.len() as f64);
            // `ftyp` stands where AVIF says what it is.
            if body.get(4..8) != Some(b"ftyp") {
                scores.push(quality::score(frame, &body)?);
            }
        }
        let bytes = Summary::of(&lengths).ok_or_else(|| BenchError::Input("there are no originals".into()))?;
        let transformation = self.transformation.clone();
        Ok(AnswerRow { transformation, n_answers: lengths.len(), ssimulacra2: Summary::of(&scores), bytes })
    }
}
