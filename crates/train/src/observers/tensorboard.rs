//! TensorBoard event files: a record is its length, a checksum of that, a protocol buffer, and a checksum of it
//! (tensorflow/core/lib/io/record_writer.cc).

use super::event_proto::{Event, Histogram, SessionLog, Summary, Tagged, Value, What};
use super::{CurvatureEvent, EpochEvent, Observer, StepEvent};
use crate::error::{Error, Result};
use prost::Message;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Steps between scalars of a step.
const EVERY: u64 = 10;

/// Scalars by step and epoch, and histograms of the effective multipliers of every second-order block.
pub struct TensorBoard {
    path: PathBuf,
    file: File,
}

impl TensorBoard {
    /// A new event file in `folder` of a run that has `steps` steps behind it. What earlier files of the run say about later
    /// steps is taken back: TensorBoard shows each step once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(folder: &Path, steps: u64) -> Result<Self> {
        let seconds = now() as u64;
        // Files are read in the order of their names; two that begin in one second must not be one.
        let mut names = (seconds..).map(|s| folder.join(format!("events.out.tfevents.{s:010}.sph")));
        let (path, file) = loop {
            let path = names.next().unwrap_or_default();
            match File::create_new(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(Error::write(&path, e)),
                Ok(file) => break (path, file),
            }
        };
        let mut log = TensorBoard { path, file };
        log.event(0, What::FileVersion("brain.Event:2".into()))?;
        // A run without steps writes this, too: it may have been killed before it saved one.
        log.event(steps + 1, What::SessionLog(SessionLog::START))?;
        Ok(log)
    }

    fn event(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event { wall_time: now(), step: step as i64, what: Some(what) };
        let record = record(&event.encode_to_vec());
        self.file.write_all(&record).map_err(|e| Error::write(&self.path, e))
    }

    /// One event with a value for every tag.
    fn summary(&mut self, step: u64, values: impl IntoIterator<Item = (String, Value)>) -> Result<()> {
        let values = values.into_iter().map(|(tag, value)| Tagged { tag, value: Some(value) }).collect();
        self.event(step, What::Summary(Summary { values }))
    }
}

impl Observer for TensorBoard {
    fn step(&mut self, e: &StepEvent) -> Result<()> {
        if !e.step.is_multiple_of(EVERY) {
            return Ok(());
        }
        let values = [("loss/batch", e.batch_loss), ("lr", e.lr), ("time/images_per_s", e.images_per_s)];
        self.summary(e.step, values.map(|(tag, v)| (tag.into(), scalar(v))))
    }

    fn epoch(&mut self, e: &EpochEvent) -> Result<()> {
        let values = [
            ("loss/train", Some(e.train.loss)),
            ("loss/validation", e.validation.map(|v| v.loss)),
            ("loss/test", Some(e.test.loss)),
            ("accuracy/train", e.train.accuracy),
            ("accuracy/validation", e.validation.and_then(|v| v.accuracy)),
            ("accuracy/test", e.test.accuracy),
            ("loss/test_ema", e.average.map(|a| a.test.loss)),
            ("accuracy/test_ema", e.average.and_then(|a| a.test.accuracy)),
            ("loss/validation_ema", e.average.and_then(|a| a.validation).map(|v| v.loss)),
            ("accuracy/validation_ema", e.average.and_then(|a| a.validation?.accuracy)),
            ("time/step_ms", Some(e.step_ms)),
            ("time/curvature_overhead", e.overhead),
        ];
        self.summary(e.step, values.into_iter().filter_map(|(tag, v)| Some((tag.into(), scalar(v?)))))
    }

    fn curvature(&mut self, e: &CurvatureEvent<'_>) -> Result<()> {
        let of_block = |b: &sph_optim::BlockReport| {
            let multipliers: Vec<f64> = b.multipliers.iter().map(|m| m.log10()).collect();
            [
                (format!("log10_multiplier/{}", b.block), histogram(&multipliers)),
                (format!("curvature_trace/{}", b.block), scalar(b.trace)),
                (format!("curvature_negative/{}", b.block), scalar(b.negative)),
            ]
        };
        if e.blocks.is_empty() {
            return Ok(());
        }
        self.summary(e.step, e.blocks.iter().flat_map(of_block))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn scalar(v: f64) -> Value {
    Value::Scalar(v as f32)
}

/// Buckets of a histogram.
const BUCKETS: usize = 30;

/// The histogram of the finite ones of these values.
fn histogram(values: &[f64]) -> Value {
    let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let (min, max) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let width = ((max - min) / BUCKETS as f64).max(1e-9);
    let mut counts = vec![0.0; BUCKETS];
    values.iter().for_each(|v| counts[(((v - min) / width) as usize).min(BUCKETS - 1)] += 1.0);
    Value::Histogram(Histogram {
        min,
        max,
        count: values.len() as f64,
        sum: values.iter().sum(),
        sum_of_squares: values.iter().map(|v| v * v).sum(),
        limits: (1..=BUCKETS).map(|i| min + width * i as f64).collect(),
        counts,
    })
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn record(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), body, &masked_crc(body)].concat()
}

#[test]
fn records_are_tensorflows() {
    // What tensorboard's own EventFileWriter wrote: wall_time 1.0, step 300, a scalar 0.5 called "a".
    let values = vec![Tagged { tag: "a".into(), value: Some(scalar(0.5)) }];
    let event = Event { wall_time: 1.0, step: 300, what: Some(What::Summary(Summary { values })) };
    let hex: String = record(&event.encode_to_vec()).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "1800000000000000a37f4b2209000000000000f03f10ac022a0a0a080a0161150000003f48e05525");
}

#[test]
fn values_stand_under_their_names() {
    use super::Evaluated;
    let dir = tempfile::tempdir().unwrap();
    let mut log = TensorBoard::new(dir.path(), 0).unwrap();
    log.epoch(&EpochEvent {
        step: 30,
        epoch: 0,
        epochs: 1,
        lr: 0.1,
        train: (1.0, 0.125).into(),
        validation: Some((2.0, 0.25).into()),
        test: (3.0, 0.5).into(),
        average: Some(Evaluated { validation: Some((1.25, 0.8125).into()), test: (1.5, 0.75).into() }),
        step_ms: 4.0,
        images_per_s: 5.0,
        overhead: Some(0.75),
        seconds: 6.0,
    })
    .unwrap();
    let block = sph_optim::BlockReport {
        block: "bn1.weight".into(),
        visits: 1,
        trace: -2.0,
        min: -3.0,
        max: 1.0,
        negative: 0.625,
        multipliers: vec![0.01, 0.1, 10.0],
    };
    log.curvature(&CurvatureEvent { step: 30, epoch: 0, blocks: &[block] }).unwrap();
    // Every tenth step leaves values of its own.
    let step = |step| StepEvent {
        step,
        epoch: 1,
        epochs: 2,
        batch: 0,
        batches: 3,
        lr: 0.5,
        batch_loss: 7.0,
        train: (8.0, 0.1).into(),
        images_per_s: 9.0,
        overhead: None,
    };
    log.step(&step(40)).unwrap();
    log.step(&step(41)).unwrap();
    let bytes = std::fs::read(&log.path).unwrap();
    let (mut rest, mut scalars, mut histograms) = (&bytes[..], Vec::new(), Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = u64::from_le_bytes(*length) as usize;
        let event = Event::decode(&after[4..4 + length]).unwrap();
        rest = &after[4 + length + 4..];
        let Some(What::Summary(summary)) = event.what else { continue };
        for Tagged { tag, value } in summary.values {
            let of_step = ["loss/batch", "lr", "time/images_per_s"].contains(&&*tag);
            assert_eq!(event.step, if of_step { 40 } else { 30 }, "{tag}");
            match value.unwrap() {
                Value::Scalar(v) => scalars.push((tag, v)),
                Value::Histogram(h) => histograms.push((tag, h)),
            }
        }
    }
    let expected = [
        ("loss/train", 1.0),
        ("loss/validation", 2.0),
        ("loss/test", 3.0),
        ("accuracy/train", 0.125),
        ("accuracy/validation", 0.25),
        ("accuracy/test", 0.5),
        ("loss/test_ema", 1.5),
        ("accuracy/test_ema", 0.75),
        ("loss/validation_ema", 1.25),
        ("accuracy/validation_ema", 0.8125),
        ("time/step_ms", 4.0),
        ("time/curvature_overhead", 0.75),
        ("curvature_trace/bn1.weight", -2.0),
        ("curvature_negative/bn1.weight", 0.625),
        ("loss/batch", 7.0),
        ("lr", 0.5),
        ("time/images_per_s", 9.0),
    ];
    assert_eq!(scalars, expected.map(|(tag, v)| (tag.to_string(), v)));
    let [(tag, h)] = &histograms[..] else { panic!("{histograms:?}") };
    assert_eq!((&**tag, h.min, h.max, h.count), ("log10_multiplier/bn1.weight", -2.0, 1.0, 3.0));
    assert!((h.sum + 2.0).abs() < 1e-12 && (h.sum_of_squares - 6.0).abs() < 1e-12, "{h:?}");
    // The value −1 lies in the bucket that ends at it or just above.
    let bucket = h.counts[1..].iter().position(|c| *c > 0.0).unwrap() + 1;
    assert!(h.limits[bucket - 1] <= -1.0 + 1e-9 && h.limits[bucket] >= -1.0 - 1e-9, "{h:?}");
    assert_eq!((h.counts[0], h.counts[BUCKETS - 1], h.counts.iter().sum::<f64>()), (1.0, 1.0, 3.0));
}
