//! TensorBoard event files, written by hand: a record is its length, a checksum of that, a protocol buffer of a handful of fields,
//! and a checksum of it (tensorflow/core/lib/io/record_writer.cc; event.proto, summary.proto).

use super::{CurvatureEvent, EpochEvent, Observer, StepEvent};
use crate::error::{Error, Result};
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
        log.event(0, |event| event.bytes(3, b"brain.Event:2"))?;
        // SessionLog with status START. A run without steps writes it, too: it may have been killed before it saved one.
        let session = Message::default().with(|m| m.varint(1, 1));
        log.event(steps + 1, |event| event.bytes(7, &session.0))?;
        Ok(log)
    }

    fn event(&mut self, step: u64, what: impl FnOnce(&mut Message)) -> Result<()> {
        let event = Message::default().with(|m| {
            m.double(1, now());
            m.varint(2, step);
            what(m);
        });
        let record = record(&event.0);
        self.file.write_all(&record).map_err(|e| Error::write(&self.path, e))
    }

    /// One event with a value for every tag.
    fn summary(&mut self, step: u64, values: impl IntoIterator<Item = (String, Message)>) -> Result<()> {
        let summary = Message::default().with(|summary| {
            for (tag, value) in values {
                let value =
                    Message::default().with(|m| m.bytes(1, tag.as_bytes())).0.into_iter().chain(value.0);
                summary.bytes(1, &value.collect::<Vec<u8>>());
            }
        });
        self.event(step, |event| event.bytes(5, &summary.0))
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
            ("loss/train", Some(e.train_loss)),
            ("loss/validation", e.validation.map(|v| v.0)),
            ("loss/test", Some(e.test.0)),
            ("accuracy/train", Some(e.train_accuracy)),
            ("accuracy/validation", e.validation.map(|v| v.1)),
            ("accuracy/test", Some(e.test.1)),
            ("loss/test_ema", e.average.map(|a| a.test.0)),
            ("accuracy/test_ema", e.average.map(|a| a.test.1)),
            ("loss/validation_ema", e.average.and_then(|a| a.validation).map(|v| v.0)),
            ("accuracy/validation_ema", e.average.and_then(|a| a.validation).map(|v| v.1)),
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

/// Summary.Value: simple_value.
fn scalar(v: f64) -> Message {
    Message::default().with(|m| m.float(2, v as f32))
}

/// Buckets of a histogram.
const BUCKETS: usize = 30;

/// Summary.Value: histo, a HistogramProto of finite values.
fn histogram(values: &[f64]) -> Message {
    let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let (min, max) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let width = ((max - min) / BUCKETS as f64).max(1e-9);
    let mut counts = [0.0; BUCKETS];
    values.iter().for_each(|v| counts[(((v - min) / width) as usize).min(BUCKETS - 1)] += 1.0);
    let limits: Vec<f64> = (1..=BUCKETS).map(|i| min + width * i as f64).collect();
    let histogram = Message::default().with(|m| {
        m.double(1, min);
        m.double(2, max);
        m.double(3, values.len() as f64);
        m.double(4, values.iter().sum());
        m.double(5, values.iter().map(|v| v * v).sum());
        m.doubles(6, &limits);
        m.doubles(7, &counts);
    });
    Message::default().with(|m| m.bytes(5, &histogram.0))
}

/// A protocol buffer under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn with(mut self, write: impl FnOnce(&mut Self)) -> Self {
        write(&mut self);
        self
    }

    fn number(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    fn varint(&mut self, field: u64, v: u64) {
        self.number(field << 3);
        self.number(v);
    }

    fn double(&mut self, field: u64, v: f64) {
        self.number(field << 3 | 1);
        self.0.extend(v.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.number(field << 3 | 2);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn doubles(&mut self, field: u64, values: &[f64]) {
        self.bytes(field, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    }

    fn float(&mut self, field: u64, v: f32) {
        self.number(field << 3 | 5);
        self.0.extend(v.to_le_bytes());
    }
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
    let event = Message::default().with(|m| {
        m.double(1, 1.0);
        m.varint(2, 300);
        let value = Message::default().with(|m| m.bytes(1, b"a")).0.into_iter().chain(scalar(0.5).0);
        let summary = Message::default().with(|m| m.bytes(1, &value.collect::<Vec<u8>>()));
        m.bytes(5, &summary.0);
    });
    let hex: String = record(&event.0).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "1800000000000000a37f4b2209000000000000f03f10ac022a0a0a080a0161150000003f48e05525");
}

#[test]
fn values_stand_under_their_names() {
    use super::Evaluated;
    use prost::Message as _;
    #[derive(prost::Message)]
    struct Event {
        #[prost(int64, tag = "2")]
        step: i64,
        #[prost(message, optional, tag = "5")]
        summary: Option<Summary>,
    }
    #[derive(prost::Message)]
    struct Summary {
        #[prost(message, repeated, tag = "1")]
        values: Vec<Value>,
    }
    #[derive(prost::Message)]
    struct Value {
        #[prost(string, tag = "1")]
        tag: String,
        #[prost(float, optional, tag = "2")]
        scalar: Option<f32>,
        #[prost(message, optional, tag = "5")]
        histogram: Option<Histogram>,
    }
    #[derive(prost::Message)]
    struct Histogram {
        /// Smallest and largest value, number, sum, sum of squares.
        #[prost(double, tag = "1")]
        min: f64,
        #[prost(double, tag = "2")]
        max: f64,
        #[prost(double, tag = "3")]
        count: f64,
        #[prost(double, tag = "4")]
        sum: f64,
        #[prost(double, tag = "5")]
        squares: f64,
        #[prost(double, repeated, tag = "6")]
        limits: Vec<f64>,
        #[prost(double, repeated, tag = "7")]
        counts: Vec<f64>,
    }
    let dir = tempfile::tempdir().unwrap();
    let mut log = TensorBoard::new(dir.path(), 0).unwrap();
    log.epoch(&EpochEvent {
        step: 30,
        epoch: 0,
        epochs: 1,
        lr: 0.1,
        train_loss: 1.0,
        train_accuracy: 0.125,
        validation: Some((2.0, 0.25)),
        test: (3.0, 0.5),
        average: Some(Evaluated { validation: Some((1.25, 0.8125)), test: (1.5, 0.75) }),
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
        loss: 8.0,
        accuracy: 0.1,
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
        for value in event.summary.into_iter().flat_map(|s| s.values) {
            let of_step = ["loss/batch", "lr", "time/images_per_s"].contains(&&*value.tag);
            assert_eq!(event.step, if of_step { 40 } else { 30 }, "{}", value.tag);
            scalars.extend(value.scalar.map(|v| (value.tag.clone(), v)));
            histograms.extend(value.histogram.map(|h| (value.tag, h)));
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
    assert!((h.sum + 2.0).abs() < 1e-12 && (h.squares - 6.0).abs() < 1e-12, "{h:?}");
    // The value −1 lies in the bucket that ends at it or just above.
    let bucket = h.counts[1..].iter().position(|c| *c > 0.0).unwrap() + 1;
    assert!(h.limits[bucket - 1] <= -1.0 + 1e-9 && h.limits[bucket] >= -1.0 - 1e-9, "{h:?}");
    assert_eq!((h.counts[0], h.counts[BUCKETS - 1], h.counts.iter().sum::<f64>()), (1.0, 1.0, 3.0));
}
