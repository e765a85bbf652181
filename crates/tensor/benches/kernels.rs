//! Micro-benchmarks of the convolution kernels, beside the machine's peaks:
//!
//! ```sh
//! cargo bench -p sph-tensor
//! ```
//!
//! "items" are floating-point operations, two a multiply-add. Those of Winograd's kernels are nominal: those of the direct loop.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use sph_tensor::kernels::choice::{KernelChoice, configure_kernels};
use sph_tensor::kernels::conv::{self, Conv};
use sph_tensor::kernels::peak;
use sph_tensor::kernels::window::Window;
use sph_tensor::{Pool, Rng};
use std::fmt::{Display, Formatter, Result};

fn main() {
    // The measuring thread takes part, as in training.
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    sph_tensor::configure_threads(threads).expect("threads are configured once");
    divan::main();
}

/// A square convolution with padding (kernel − 1)/2.
#[derive(Clone, Copy)]
struct Case {
    n: usize,
    c: usize,
    out: usize,
    h: usize,
    kernel: usize,
    stride: usize,
}

const fn case(n: usize, c: usize, out: usize, h: usize, kernel: usize, stride: usize) -> Case {
    Case { n, c, out, h, kernel, stride }
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter) -> Result {
        let Case { n, c, out, h, kernel, stride } = self;
        write!(f, "n{n} {c}→{out} {h}×{h} k{kernel} s{stride}")
    }
}

/// The convolutions of resnet20 (batch 128), resnet18 and vgg16 (batch 32) on 32×32 images.
const CASES: [Case; 15] = [
    case(128, 3, 16, 32, 3, 1),
    case(128, 16, 16, 32, 3, 1),
    case(128, 16, 32, 32, 3, 2),
    case(128, 32, 32, 16, 3, 1),
    case(128, 64, 64, 8, 3, 1),
    case(32, 64, 64, 32, 3, 1),
    case(32, 64, 128, 32, 3, 2),
    case(32, 64, 128, 32, 1, 2),
    case(32, 128, 128, 16, 3, 1),
    case(32, 128, 256, 16, 3, 2),
    case(32, 256, 256, 8, 3, 1),
    case(32, 256, 512, 8, 3, 2),
    case(32, 512, 512, 4, 3, 1),
    case(32, 512, 512, 2, 3, 1),
    case(32, 256, 512, 4, 3, 1),
];

struct Data {
    conv: Conv,
    pool: Pool<f32>,
    x: Vec<f32>,
    w: Vec<f32>,
    y: Vec<f32>,
}

impl Data {
    fn new(case: &Case) -> Self {
        let Case { n, c, out, h, kernel, stride } = *case;
        let window = Window::square([n, h, h, c], [kernel; 2], stride, (kernel - 1) / 2);
        let conv = Conv { window, out, groups: 1 };
        let random = |len: usize| {
            let mut rng = Rng::new(1, "bench", len as u64, 0);
            (0..len).map(|_| rng.normal() as f32).collect::<Vec<f32>>()
        };
        let (x, w) = (random(n * window.image()), random(conv.weight_shape().len()));
        Data { conv, pool: Pool::new(), x, w, y: random(conv.output_shape().len()) }
    }

    fn operations(&self) -> ItemsCount {
        ItemsCount::new(2 * self.conv.multiply_adds())
    }
}

/// Which kernels a group of benchmarks may use.
trait Choice {
    fn choose();
}

struct Auto;
struct FastMath;
struct Direct;
struct Gemm;

impl Choice for Auto {
    fn choose() {
        configure_kernels(KernelChoice::Auto, false);
    }
}
impl Choice for FastMath {
    fn choose() {
        configure_kernels(KernelChoice::Auto, true);
    }
}
impl Choice for Direct {
    fn choose() {
        configure_kernels(KernelChoice::Direct, false);
    }
}
impl Choice for Gemm {
    fn choose() {
        configure_kernels(KernelChoice::Gemm, false);
    }
}

#[divan::bench(types = [Auto, FastMath, Direct, Gemm], args = CASES)]
fn forward<C: Choice>(bencher: Bencher, case: &Case) {
    C::choose();
    let mut d = Data::new(case);
    let (conv, pool) = (d.conv, d.pool.clone());
    bencher.counter(d.operations()).bench_local(|| conv::forward(&conv, &d.x, &d.w, &mut d.y, &pool));
}

#[divan::bench(types = [Auto, FastMath, Direct, Gemm], args = CASES)]
fn backward_data<C: Choice>(bencher: Bencher, case: &Case) {
    C::choose();
    let mut d = Data::new(case);
    let (conv, pool) = (d.conv, d.pool.clone());
    bencher.counter(d.operations()).bench_local(|| conv::backward_data(&conv, &d.y, &d.w, &mut d.x, &pool));
}

#[divan::bench(types = [Auto, FastMath, Direct, Gemm], args = CASES)]
fn backward_weight<C: Choice>(bencher: Bencher, case: &Case) {
    C::choose();
    let mut d = Data::new(case);
    let (conv, pool) = (d.conv, d.pool.clone());
    bencher.counter(d.operations()).bench_local(|| conv::backward_weight(&conv, &d.x, &d.y, &mut d.w, &pool));
}

/// Multiply-adds on registers alone, on all threads: what no kernel can pass.
#[divan::bench]
fn fma_peak(bencher: Bencher) {
    let operations = rayon::current_num_threads() * peak::multiply_adds();
    bencher.counter(ItemsCount::new(operations)).bench_local(|| rayon::broadcast(|_| peak::multiply_adds()));
}

/// Copying 64 MiB on all threads; bytes read and bytes written.
#[divan::bench]
fn copy_bandwidth(bencher: Bencher) {
    const LEN: usize = 1 << 24;
    let (from, mut to) = (vec![1.0f32; LEN], vec![0.0f32; LEN]);
    bencher.counter(BytesCount::new(2 * LEN * size_of::<f32>())).bench_local(|| {
        sph_tensor::kernels::map::unary(&mut to, &from, |x| x);
    });
}
