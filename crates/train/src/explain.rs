//! Where the time of a step goes, op by op, beside what a cost model says it should at least be.

use serde::Serialize;
use sph_autodiff::OpCost;
use sph_tensor::Shape;
use sph_tensor::kernels::peak::Peak;
use std::time::Duration;

/// Ops of one kind and one shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The op.
    pub op: &'static str,
    /// Shapes of its inputs, without a probe axis.
    pub shapes: String,
    /// The kernels that run it, where there is a choice.
    pub kernels: Option<&'static str>,
    /// How many a step has.
    pub count: f64,
    /// Multiply-adds a step, as they are usually counted.
    pub multiply_adds: f64,
    /// Milliseconds a step by the roofline: all multiply-adds that the kernels do at the machine's peak, or all bytes that the rules read
    /// and write at the speed of copying, whichever takes longer.
    pub predicted_ms: f64,
    /// Milliseconds a step of y and ẏ.
    pub forward_ms: f64,
    /// Milliseconds a step of x̄ and x̄̇.
    pub backward_ms: f64,
}

impl Row {
    /// Milliseconds a step.
    pub fn ms(&self) -> f64 {
        self.forward_ms + self.backward_ms
    }
}

/// A step in rows, those of the longest time first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// FMA peak of the machine in GFLOP/s, measured beside.
    pub peak_gflops: f64,
    /// The instruction set that reached it.
    pub instruction_set: &'static str,
    /// Bandwidth of copying in GB/s, measured beside.
    pub copy_gb_s: f64,
    /// Milliseconds a step, the mean.
    pub step_ms: f64,
    /// The ops.
    pub ops: Vec<Row>,
}

impl Explained {
    /// `costs` of `steps` steps that took `time` together.
    pub fn new(costs: &[OpCost], steps: usize, time: Duration, peak: Peak) -> Self {
        let mut ops: Vec<Row> = Vec::new();
        let (per, ms) = (1.0 / steps as f64, |t: Duration| 1e3 * t.as_secs_f64() / steps as f64);
        for cost in costs {
            let shapes: Vec<String> = cost.x.iter().map(shape).collect();
            let (shapes, kernels) = (shapes.join(" "), cost.kernels.map(|k| k.name));
            let found = ops.iter().position(|r| r.op == cost.name && r.shapes == shapes);
            let row = found.unwrap_or_else(|| {
                let zero = Row {
                    op: cost.name,
                    shapes,
                    kernels,
                    count: 0.0,
                    multiply_adds: 0.0,
                    predicted_ms: 0.0,
                    forward_ms: 0.0,
                    backward_ms: 0.0,
                };
                ops.push(zero);
                ops.len() - 1
            });
            let row = &mut ops[row];
            let multiply_adds = cost.multiply_adds as f64 * cost.products as f64;
            let done = multiply_adds / cost.kernels.map_or(1.0, |k| k.saving);
            let numbers = cost.x.iter().chain([&cost.y]).map(Shape::len).sum::<usize>() * cost.rules;
            let seconds = f64::max(2.0 * done / peak.operations, 4.0 * numbers as f64 / peak.bytes);
            row.count += per;
            row.multiply_adds += per * multiply_adds;
            row.predicted_ms += per * 1e3 * seconds;
            row.forward_ms += ms(cost.forward);
            row.backward_ms += ms(cost.backward);
        }
        ops.sort_by(|a, b| b.ms().total_cmp(&a.ms()));
        Explained {
            peak_gflops: 1e-9 * peak.operations,
            instruction_set: peak.instructions,
            copy_gb_s: 1e-9 * peak.bytes,
            step_ms: ms(time),
            ops,
        }
    }

    /// A table for people: the rows that take longest, what all ops of a kind take, and what is left for the optimizer.
    pub fn table(&self) -> String {
        let mut out = format!(
            "step {:.2} ms; FMA peak {:.0} GFLOP/s with {}, copying {:.1} GB/s\n\n{:13} {:34} {:28} {:>5} {:>8} {:>8} {:>9} {:>6} {:>8}\n",
            self.step_ms,
            self.peak_gflops,
            self.instruction_set,
            self.copy_gb_s,
            "op",
            "inputs",
            "kernels",
            "count",
            "forward",
            "backward",
            "predicted",
            "share",
            "GFLOP/s"
        );
        let line = |name: &str, shapes: &str, kernels: &str, rows: &[&Row]| {
            let sum = |f: fn(&Row) -> f64| rows.iter().map(|r| f(r)).sum::<f64>();
            let ms = sum(Row::ms);
            // Nominal: two operations a multiply-add.
            let speed = 2e-6 * sum(|r| r.multiply_adds) / ms;
            let speed = if speed > 0.0 { format!("{speed:.0}") } else { String::new() };
            format!(
                "{name:13} {shapes:34} {kernels:28} {:5.1} {:8.2} {:8.2} {:9.2} {:5.1}% {speed:>8}\n",
                sum(|r| r.count),
                sum(|r| r.forward_ms),
                sum(|r| r.backward_ms),
                sum(|r| r.predicted_ms),
                100.0 * ms / self.step_ms
            )
        };
        for row in self.ops.iter().take(SHOWN) {
            out += &line(row.op, &row.shapes, row.kernels.unwrap_or(""), &[row]);
        }
        out += "\n";
        let mut names: Vec<&str> = Vec::new();
        for row in &self.ops {
            if !names.contains(&row.op) {
                names.push(row.op);
            }
        }
        for name in names {
            let rows: Vec<&Row> = self.ops.iter().filter(|r| r.op == name).collect();
            out += &line(name, "all", "", &rows);
        }
        let all: Vec<&Row> = self.ops.iter().collect();
        out += &line("all ops", "", "", &all);
        let rest = self.step_ms - self.ops.iter().map(Row::ms).sum::<f64>();
        out + &format!(
            "the rest (optimizer, sums of adjoints, products after the gradient): {rest:.2} ms, {:.1}%",
            100.0 * rest / self.step_ms
        )
    }
}

/// Rows of a table; a network has more kinds of small ops than anybody reads.
const SHOWN: usize = 16;

fn shape(s: &Shape) -> String {
    s.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

#[test]
fn rows_add_up_and_the_longest_is_first() {
    use sph_tensor::kernels::conv::KernelInfo;
    let ms = Duration::from_millis;
    let cost = |name, forward, backward| OpCost {
        name,
        x: vec![Shape::new(&[10, 100])],
        y: Shape::new(&[10, 100]),
        multiply_adds: 1_000_000,
        kernels: Some(KernelInfo { name: "k", saving: 2.0 }),
        products: 3,
        rules: 2,
        forward: ms(forward),
        backward: ms(backward),
    };
    let costs = [cost("a", 1, 2), cost("b", 4, 6), cost("a", 2, 3)];
    let peak = |operations, bytes| Peak { operations, bytes, instructions: "none" };
    let e = Explained::new(&costs, 2, ms(40), peak(1e9, 1e9));
    assert_eq!(e.step_ms, 20.0);
    assert_eq!(e.ops.iter().map(|r| r.op).collect::<Vec<_>>(), ["b", "a"]);
    let a = &e.ops[1];
    assert_eq!((a.count, a.forward_ms, a.backward_ms, a.multiply_adds), (1.0, 1.5, 2.5, 3e6));
    // Half of 3 million multiply-adds, two operations each; bytes take less.
    assert!((a.predicted_ms - 3.0).abs() < 1e-9);
    // Two rules on 2,000 numbers of four bytes each, at 1 MB/s.
    let slow = Explained::new(&costs, 2, ms(40), peak(1e12, 1e6));
    assert!((slow.ops[1].predicted_ms - 16.0).abs() < 1e-9);
    assert!(e.table().contains("1 GFLOP/s with none"));
}
