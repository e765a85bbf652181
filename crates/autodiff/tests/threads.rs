//! The same bits on any number of threads, rule by rule, on inputs that are large enough to be split.

use sph_autodiff::ops::{ConvTranspose, Convolution};
use sph_autodiff::{Context, InputSet, Keep, Op, PerInput, Record, Statistics, ops};
use sph_tensor::{Array, Pool, Rng, Shape};

fn random(dims: &[usize], tag: u64) -> Array<f32> {
    let shape = Shape::new(dims);
    let mut rng = Rng::new(8, "threads", tag, 0);
    let values: Vec<f32> = (0..shape.len()).map(|_| rng.normal() as f32).collect();
    Array::from_slice(&Pool::new(), shape, &values)
}

/// All that the rules answer, as bits; K = 2.
fn bits(op: &dyn Op<f32>, inputs: &[Array<f32>]) -> (Vec<Vec<u32>>, Option<Statistics>) {
    let shapes: Vec<Shape> = inputs.iter().map(Array::shape).collect();
    let y = op.output_shape(&shapes).unwrap();
    let cx = Context::new(&Pool::new(), 2);
    let x: Vec<_> = inputs.iter().collect();
    let all = || InputSet::all(inputs.len());
    let keep = Keep { x_bar: all(), x_dot: all(), x_bar_dot: all() };
    let (value, residuals, statistics) = match op.extensions().statistics {
        Some(op) => op.forward_with_statistics(&cx, &x, y, keep),
        None => {
            let (value, residuals) = op.forward(&cx, &x, y, keep);
            (value, residuals, None)
        }
    };
    let r = Record { residuals, x: shapes, y };
    let dots: Vec<_> =
        inputs.iter().zip(1..).map(|(x, tag)| random(x.shape().prepend(2).dims(), tag)).collect();
    let x_dot: Vec<_> = dots.iter().map(Some).collect();
    let (y_bar, y_bar_dot) = (random(y.dims(), 50), random(y.prepend(2).dims(), 51));
    let y_dot = op.jvp(&cx, &r, &x_dot);
    let x_bar = op.vjp(&cx, &r, &y_bar, &all());
    let tangents = op.vjp_tangent(&cx, &r, &x_dot, &y_bar, Some(&y_bar_dot), &all());
    let both = op.vjp_and_tangent(&cx, &r, &x_dot, &y_bar, Some(&y_bar_dot), &all(), &all());
    let answers: Vec<Option<Array<f32>>> = [vec![Some(value), Some(y_dot)], x_bar, tangents, both.0, both.1]
        .into_iter()
        .flat_map(|b: PerInput<f32>| b)
        .collect();
    let of = |a: &Array<f32>| a.as_slice().iter().map(|v| v.to_bits()).collect();
    (answers.iter().flatten().map(of).collect(), statistics)
}

/// An op and inputs.
type Row = (Box<dyn Op<f32>>, Vec<Array<f32>>);

#[test]
fn rules_give_the_same_bits_on_any_number_of_threads() {
    let batch = ops::Moments::Batch { slot: Some(0) };
    let uneven = Convolution { stride: [1, 2], padding: [1, 0], dilation: [2, 1], groups: 1 };
    let transposed = ConvTranspose {
        stride: [2; 2],
        padding: [1; 2],
        output_padding: [1; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let rows: Vec<Row> = vec![
        (Box::new(ops::attention(4)), vec![random(&[20, 49, 3 * 32], 0)]),
        (Box::new(ops::linear()), vec![random(&[1100, 96], 0), random(&[160, 96], 1), random(&[160], 2)]),
        (Box::new(ops::matmul()), vec![random(&[1100, 64], 0), random(&[64, 96], 1)]),
        (Box::new(ops::batch_matmul(true, 0.5)), vec![random(&[70, 33, 17], 0), random(&[70, 29, 17], 1)]),
        (Box::new(ops::conv2d(1, 1)), vec![random(&[19, 12, 12, 16], 0), random(&[24, 16, 3, 3], 1)]),
        (Box::new(ops::conv2d(2, 1)), vec![random(&[19, 13, 12, 16], 0), random(&[24, 16, 3, 3], 1)]),
        (Box::new(ops::conv2d(1, 0)), vec![random(&[19, 12, 12, 16], 0), random(&[24, 16, 1, 1], 1)]),
        (
            Box::new(ops::grouped_conv2d(1, 1, 16)),
            vec![random(&[19, 12, 12, 16], 0), random(&[16, 1, 3, 3], 1)],
        ),
        (
            Box::new(ops::batch_norm(batch, 1e-5)),
            vec![random(&[19, 12, 12, 16], 0), random(&[16], 1), random(&[16], 2)],
        ),
        (
            Box::new(ops::group_norm(4, 1e-5)),
            vec![random(&[19, 12, 12, 16], 0), random(&[16], 1), random(&[16], 2)],
        ),
        (
            Box::new(ops::instance_norm(1e-5)),
            vec![random(&[19, 12, 12, 16], 0), random(&[16], 1), random(&[16], 2)],
        ),
        (
            Box::new(ops::layer_norm_rows(1e-5)),
            vec![random(&[19, 49, 32], 0), random(&[32], 1), random(&[32], 2)],
        ),
        (Box::new(ops::rms_norm(1e-5)), vec![random(&[19, 12, 12, 16], 0), random(&[16], 1)]),
        (Box::new(ops::weight_norm()), vec![random(&[67, 300], 0), random(&[67], 1)]),
        (Box::new(ops::max_pool(3, 2, 1)), vec![random(&[19, 12, 12, 16], 0)]),
        (Box::new(ops::avg_pool(2, 2, 0)), vec![random(&[19, 12, 12, 16], 0)]),
        (Box::new(ops::global_avg_pool()), vec![random(&[19, 12, 12, 16], 0)]),
        (Box::new(ops::gelu()), vec![random(&[19, 49, 32], 0)]),
        (Box::new(ops::softmax()), vec![random(&[19, 49, 49], 0)]),
        (Box::new(ops::bias()), vec![random(&[19, 49, 32], 0), random(&[32], 1)]),
        (Box::new(ops::mul()), vec![random(&[19, 12, 12, 16], 0), random(&[16], 1)]),
        (Box::new(ops::mul()), vec![random(&[19, 12, 12, 16], 0), random(&[19, 1, 1, 16], 1)]),
        (Box::new(ops::div()), vec![random(&[19, 12, 12, 16], 0), random(&[12, 12, 1], 1)]),
        (Box::new(ops::add()), vec![random(&[4, 150, 130], 0), random(&[150, 130], 1)]),
        (Box::new(ops::sum(&[0, 1])), vec![random(&[19, 49, 32], 0)]),
        (Box::new(ops::variance(&[2], 1.0)), vec![random(&[19, 49, 32], 0)]),
        (Box::new(ops::take(1, vec![3, 0, 3, 48].into())), vec![random(&[19, 49, 32], 0)]),
        (Box::new(ops::log_softmax()), vec![random(&[19, 49, 49], 0)]),
        (Box::new(ops::mish()), vec![random(&[19, 49, 32], 0)]),
        (Box::new(ops::cross_entropy(vec![2; 19 * 49].into(), 0.1)), vec![random(&[19, 49, 49], 0)]),
        (Box::new(ops::convolution(uneven)), vec![random(&[19, 12, 12, 16], 0), random(&[24, 16, 3, 2], 1)]),
        (
            Box::new(ops::conv_transpose(transposed)),
            vec![random(&[19, 12, 12, 16], 0), random(&[16, 8, 3, 3], 1)],
        ),
        (
            Box::new(ops::scaled_dot_product(0.3, true)),
            vec![
                random(&[20, 49, 4, 8], 0),
                random(&[20, 49, 2, 8], 1),
                random(&[20, 49, 2, 6], 2),
                random(&[1, 4, 49, 49], 3),
            ],
        ),
    ];
    for (op, inputs) in &rows {
        assert!(inputs[0].shape().len() > 16 * 1024, "{} would not be split", op.name());
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bits(&**op, inputs))
        };
        let one = on(1);
        for threads in [2, 3, 4] {
            assert!(on(threads) == one, "{} on {threads} threads", op.name());
        }
    }
}
