//! The messages of TensorBoard's event files that are written here (TensorFlow's event.proto, summary.proto and histogram.proto), with
//! the field numbers of the format.

use prost::{Message, Oneof};

/// The body of a record.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub(super) what: Option<What>,
}

/// What an event tells.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// A run begins here: what is known of this step and later ones is taken back.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

impl SessionLog {
    pub(super) const START: SessionLog = SessionLog { status: 1 };
}

/// Values of a step.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<Tagged>,
}

/// A value and its name.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tagged {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(oneof = "Value", tags = "2, 5")]
    pub(super) value: Option<Value>,
}

/// A scalar or a histogram.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Value {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "5")]
    Histogram(Histogram),
}

/// Counts of values up to each limit.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(double, tag = "1")]
    pub(super) min: f64,
    #[prost(double, tag = "2")]
    pub(super) max: f64,
    /// How many values there are.
    #[prost(double, tag = "3")]
    pub(super) count: f64,
    #[prost(double, tag = "4")]
    pub(super) sum: f64,
    #[prost(double, tag = "5")]
    pub(super) sum_of_squares: f64,
    /// Upper limits of the buckets.
    #[prost(double, repeated, tag = "6")]
    pub(super) limits: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    pub(super) counts: Vec<f64>,
}

/// What TensorBoard's own messages are as bytes.
#[test]
fn messages_are_tensorflows() {
    let hex = |step, what| -> String {
        let event = Event { wall_time: 1.0, step, what: Some(what) };
        event.encode_to_vec().iter().map(|b| format!("{b:02x}")).collect()
    };
    let histogram = Histogram {
        min: -2.0,
        max: 1.0,
        count: 3.0,
        sum: -2.5,
        sum_of_squares: 6.0,
        limits: vec![-1.0, 1.0],
        counts: vec![2.0, 1.0],
    };
    let values = [("h", Value::Histogram(histogram)), ("z", Value::Scalar(0.0))];
    let values = values.map(|(tag, value)| Tagged { tag: tag.into(), value: Some(value) }).to_vec();
    assert_eq!(
        hex(7, What::Summary(Summary { values })),
        "09000000000000f03f10072a620a560a01682a510900000000000000c011000000000000f03f1900000000000008402100000000000004c0\
         2900000000000018403210000000000000f0bf000000000000f03f3a100000000000000040000000000000f03f0a080a017a1500000000"
    );
    assert_eq!(hex(8, What::SessionLog(SessionLog::START)), "09000000000000f03f10083a020801");
    assert_eq!(
        hex(0, What::FileVersion("brain.Event:2".into())),
        "09000000000000f03f1a0d627261696e2e4576656e743a32"
    );
}
