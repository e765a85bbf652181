//! Micro-benchmarks of the kernels at every vector width of this CPU, against the machine's peaks:
//!
//! ```sh
//! cargo bench -p sph-tensor -- [--threads N] [--isa NAME] [--kernel NAME] [FILTER …]
//! ```
//!
//! A line is a pass of one kernel; those whose text holds every FILTER are run. It says the floating-point operations a second, two a
//! multiply-add, padded taps counted; Winograd's are nominal: those of the direct loop. "of peak" compares them with multiply-adds on registers
//! alone, "of copying" the bytes of operands and result, each once, with the speed of copying 64 MiB; both on all threads.

use sph_tensor::kernels::choice::{KernelChoice, configure_kernels};
use sph_tensor::kernels::conv::{self, Conv};
use sph_tensor::kernels::gemm::{View, matmul};
use sph_tensor::kernels::isa::{Isa, configure_isa};
use sph_tensor::kernels::peak::Peak;
use sph_tensor::kernels::window::Window;
use sph_tensor::{Element, Pool, Rng};
use std::time::{Duration, Instant};

/// m, n, k of products: square ones, the linear layers of vit_tiny (batch 64), convolutions of one tap, small and thin ones.
const PRODUCTS: [(usize, usize, usize); 16] = [
    (2048, 2048, 2048),
    (1024, 1024, 1024),
    (512, 512, 512),
    (256, 256, 256),
    (128, 128, 128),
    (64, 64, 64),
    (4160, 576, 192),
    (4160, 192, 192),
    (4160, 768, 192),
    (4160, 192, 768),
    (192, 768, 4160),
    (64, 64, 65536),
    (65536, 64, 64),
    (128, 10, 512),
    (512, 10, 128),
    (65, 65, 64),
];

/// Images, channels, outputs, extent, window, stride, groups.
type Case = (usize, usize, usize, usize, usize, usize, usize);

/// The convolutions of resnet20 (batch 128), resnet18 and vgg16 (batch 32), resnet50 (batch 8, 224 pixels) and mobilenet (batch 64).
const CONVOLUTIONS: [Case; 25] = [
    (128, 3, 16, 32, 3, 1, 1),
    (128, 16, 16, 32, 3, 1, 1),
    (128, 16, 32, 32, 3, 2, 1),
    (128, 32, 32, 16, 3, 1, 1),
    (128, 64, 64, 8, 3, 1, 1),
    (32, 64, 64, 32, 3, 1, 1),
    (32, 64, 128, 32, 3, 2, 1),
    (32, 64, 128, 32, 1, 2, 1),
    (32, 128, 128, 16, 3, 1, 1),
    (32, 128, 256, 16, 3, 2, 1),
    (32, 256, 256, 8, 3, 1, 1),
    (32, 256, 512, 8, 3, 2, 1),
    (32, 512, 512, 4, 3, 1, 1),
    (32, 512, 512, 2, 3, 1, 1),
    (8, 3, 64, 224, 7, 2, 1),
    (8, 64, 64, 56, 3, 1, 1),
    (8, 64, 256, 56, 1, 1, 1),
    (8, 512, 1024, 28, 1, 2, 1),
    (8, 2048, 512, 7, 1, 1, 1),
    (64, 32, 64, 32, 1, 1, 1),
    (64, 256, 256, 8, 1, 1, 1),
    (64, 32, 32, 32, 3, 1, 32),
    (64, 64, 64, 32, 3, 2, 64),
    (64, 256, 256, 8, 3, 1, 256),
    (64, 64, 64, 16, 3, 1, 8),
];

fn random<T: Element>(len: usize) -> Vec<T> {
    let mut rng = Rng::new(1, "bench", len as u64, 0);
    (0..len).map(|_| T::from_f64(rng.normal())).collect()
}

/// Seconds of a run: the median of as many as fit into a fifth of a second, at least five.
fn median(mut run: impl FnMut()) -> f64 {
    run();
    let (start, mut seconds) = (Instant::now(), vec![]);
    while seconds.len() < 5 || start.elapsed() < Duration::from_millis(200) {
        let begin = Instant::now();
        run();
        seconds.push(begin.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

struct Bench {
    filters: Vec<String>,
    peak: Peak,
    isa: Isa,
}

impl Bench {
    fn line(&self, text: &str, (operations, bytes): (f64, f64), run: impl FnMut()) {
        let text = format!("{:8} {text}", self.isa.name());
        if self.filters.iter().all(|f| text.contains(f.as_str())) {
            let seconds = median(run);
            let (peak, copying) =
                (operations / seconds / self.peak.operations, bytes / seconds / self.peak.bytes);
            let rate = operations / seconds / 1e9;
            println!(
                "{text:64} {rate:7.1} GFLOP/s {:5.1} % of peak {:5.1} % of copying",
                100.0 * peak,
                100.0 * copying
            );
        }
    }

    fn products<T: Element>(&self, kind: &str) {
        for (m, n, k) in PRODUCTS {
            let (a, b, mut c) = (random::<T>(m * k), random::<T>(k * n), vec![T::ZERO; m * n]);
            let bytes = size_of::<T>() * (m * k + k * n + m * n);
            let work = ((2 * m * n * k) as f64, bytes as f64);
            for (name, a, b) in [
                ("a·b", View::new(&a, m, k), View::new(&b, k, n)),
                ("a·bᵀ", View::new(&a, m, k), View::new(&b, n, k).t()),
                ("aᵀ·b", View::new(&a, k, m).t(), View::new(&b, k, n)),
            ] {
                let text = format!("product {kind} {name:4} {m}×{n}×{k}");
                self.line(&text, work, || matmul(&mut c, false, a, b));
            }
        }
    }

    fn convolutions<T: Element>(&self, kind: &str) {
        for (n, c, out, h, kernel, stride, groups) in CONVOLUTIONS {
            let window = Window::square([n, h, h, c], [kernel; 2], stride, (kernel - 1) / 2);
            let conv = Conv { window, out, groups };
            let (mut x, mut w) = (random::<T>(n * window.image()), random::<T>(conv.weight_shape().len()));
            let mut y = random::<T>(conv.output_shape().len());
            let bytes = size_of::<T>() * (x.len() + w.len() + y.len());
            let (pool, work) = (Pool::new(), (2.0 * conv.multiply_adds() as f64, bytes as f64));
            let name = conv::kernels_for::<T>(&conv).name;
            let shape = format!("n{n} {c}→{out} {h}×{h} k{kernel} s{stride} g{groups} {name}");
            self.line(&format!("conv {kind} y {shape}"), work, || {
                conv::forward(&conv, &x, &w, &mut y, &pool)
            });
            self.line(&format!("conv {kind} x̄ {shape}"), work, || {
                conv::backward_data(&conv, &y, &w, &mut x, &pool)
            });
            self.line(&format!("conv {kind} w̄ {shape}"), work, || {
                conv::backward_weight(&conv, &x, &y, &mut w, &pool)
            });
        }
    }
}

fn main() {
    let (mut filters, mut isa, mut choice) = (vec![], None, KernelChoice::Auto);
    // The measuring thread takes part, as in training.
    let mut threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--threads" => threads = value().parse().expect("--threads takes a number"),
            "--isa" => isa = Some(value()),
            "--kernel" => {
                let name = value();
                choice = KernelChoice::ALL.into_iter().find(|c| c.name() == name).expect("a kernel choice");
            }
            _ => filters.push(argument),
        }
    }
    sph_tensor::configure_threads(threads).expect("threads are configured once");
    configure_kernels(choice, false);
    let chosen = |i: &Isa| i.is_available() && isa.as_ref().is_none_or(|name| i.name() == name);
    for isa in Isa::ALL.into_iter().filter(chosen) {
        configure_isa(isa);
        let peak = Peak::measure();
        println!(
            "{:8} {threads} threads: {:.1} GFLOP/s in multiply-adds on registers, {:.1} GB/s in copying",
            isa.name(),
            peak.operations / 1e9,
            peak.bytes / 1e9
        );
        let bench = Bench { filters: filters.clone(), peak, isa };
        bench.products::<f32>("f32");
        bench.products::<f64>("f64");
        bench.convolutions::<f32>("f32");
        bench.convolutions::<f64>("f64");
    }
}
