//! Values of ops at given numbers, as PyTorch 2.15 has them in float64: derivatives that agree with a function do not say that it is the right
//! one.

use sph_autodiff::ops::{self, AvgPool, ConvTranspose, Convolution, MaxPool};
use sph_autodiff::{Context, Keep, Op};
use sph_tensor::{Array, Pool, Shape};

fn array(dims: &[usize], values: &[f64]) -> Array<f64> {
    Array::from_slice(&Pool::new(), Shape::new(dims), values)
}

/// Numbers from −5/4 to 5/4.
fn grid(dims: &[usize]) -> Array<f64> {
    let n = dims.iter().product();
    array(dims, &(0..n).map(|i: usize| ((i * 7 % 11) as f64 - 5.0) / 4.0).collect::<Vec<_>>())
}

fn agrees(op: &dyn Op<f64>, inputs: &[Array<f64>], want: &[f64]) {
    let y = op.output_shape(&inputs.iter().map(Array::shape).collect::<Vec<_>>()).unwrap();
    let x: Vec<_> = inputs.iter().collect();
    let got = op.forward(&Context::new(&Pool::new(), 1), &x, y, Keep::default()).0.to_f64();
    let close = got.len() == want.len()
        && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 1e-13 * w.abs().max(1.0));
    assert!(close, "{op:?}: {got:?}, not {want:?}");
}

/// An op, and its values.
type Row = (Box<dyn Op<f64>>, &'static [f64]);

#[test]
#[allow(clippy::excessive_precision)] // as PyTorch prints them
fn functions_of_one_array() {
    let x = [-3.5, -1.0, -0.2, 0.3, 1.2, 3.4];
    let rows: Vec<Row> = vec![
        (Box::new(ops::abs()), &[3.5, 1.0, 0.2, 0.3, 1.2, 3.4]),
        (Box::new(ops::affine(-0.75, 0.5)), &[3.125, 1.25, 0.65, 0.275, -0.4, -2.05]),
        (Box::new(ops::clamp(-0.5, 0.75)), &[-0.5, -0.5, -0.2, 0.3, 0.75, 0.75]),
        (
            Box::new(ops::cos()),
            &[
                -0.936456687290796,
                0.54030230586814,
                0.980066577841242,
                0.955336489125606,
                0.362357754476674,
                -0.966798192579461,
            ],
        ),
        (
            Box::new(ops::elu(1.5, 0.8, 0.7)),
            &[-1.096447696200755, -0.604097635450309, -0.156770117521433, 0.24, 0.96, 2.72],
        ),
        (
            Box::new(ops::erf()),
            &[
                -0.999999256901628,
                -0.842700792949715,
                -0.222702589210478,
                0.328626759459127,
                0.910313978229635,
                0.999998478006637,
            ],
        ),
        (
            Box::new(ops::exp()),
            &[
                0.030197383422319,
                0.367879441171442,
                0.818730753077982,
                1.349858807576003,
                3.320116922736547,
                29.96410004739701,
            ],
        ),
        (
            Box::new(ops::gelu()),
            &[
                -0.000814201776624,
                -0.158655253931457,
                -0.084148058112179,
                0.185373426656686,
                1.06191639573395,
                3.398854440496699,
            ],
        ),
        (
            Box::new(ops::gelu_tanh()),
            &[
                -0.000616197655374,
                -0.158808009391723,
                -0.084148570217894,
                0.185370923542759,
                1.061702769137865,
                3.399094149016546,
            ],
        ),
        (Box::new(ops::hardsigmoid()), &[0.0, 0.333333333333333, 0.466666666666667, 0.55, 0.7, 1.0]),
        (Box::new(ops::hardswish()), &[0.0, -0.333333333333333, -0.093333333333333, 0.165, 0.84, 3.4]),
        (Box::new(ops::leaky_relu(0.1)), &[-0.35, -0.1, -0.02, 0.3, 1.2, 3.4]),
        (
            Box::new(ops::log_sigmoid()),
            &[
                -3.52975041827262,
                -1.313261687518223,
                -0.798138869381592,
                -0.554355244468527,
                -0.263282467338031,
                -0.032828470424865,
            ],
        ),
        (
            Box::new(ops::log_softmax()),
            &[
                -7.079368207059533,
                -4.579368207059533,
                -3.779368207059532,
                -3.279368207059532,
                -2.379368207059532,
                -0.179368207059532,
            ],
        ),
        (
            Box::new(ops::mish()),
            &[
                -0.104095754486371,
                -0.303401461374109,
                -0.107144780868357,
                0.208001372348115,
                1.077945891765377,
                3.392915009751254,
            ],
        ),
        (Box::new(ops::pow(3.0)), &[-42.875, -1.0, -0.008, 0.027, 1.728, 39.303999999999995]),
        (
            Box::new(ops::pow(-2.0)),
            &[
                0.081632653061224,
                1.0,
                24.999999999999996,
                11.11111111111111,
                0.694444444444444,
                0.086505190311419,
            ],
        ),
        (
            Box::new(ops::silu()),
            &[
                -0.102592807629747,
                -0.268941421369995,
                -0.090033200537504,
                0.172332755043498,
                0.922229740198821,
                3.290195420025268,
            ],
        ),
        (
            Box::new(ops::sin()),
            &[
                0.35078322768962,
                -0.841470984807897,
                -0.198669330795061,
                0.29552020666134,
                0.932039085967226,
                -0.255541102026831,
            ],
        ),
        (
            Box::new(ops::softplus(2.0, 3.0)),
            &[
                0.000455733226887,
                0.063464005521486,
                0.256507626199976,
                0.518743975242943,
                1.243418076076975,
                3.4,
            ],
        ),
        (Box::new(ops::sum(&[0])), &[0.2]),
        (Box::new(ops::mean(&[0])), &[0.033333333333333]),
        (Box::new(ops::variance(&[0], 1.0)), &[5.274666666666667]),
        (
            Box::new(ops::softmax()),
            &[
                0.000842305142749,
                0.010261377314605,
                0.022837115196356,
                0.037652037585662,
                0.092609068787093,
                0.835798095973535,
            ],
        ),
        (
            Box::new(ops::tanh()),
            &[
                -0.998177897611199,
                -0.761594155955765,
                -0.197375320224904,
                0.291312612451591,
                0.833654607012155,
                0.997774927934279,
            ],
        ),
    ];
    for (op, want) in rows {
        agrees(&*op, &[array(&[6], &x)], want);
    }
    let rows: Vec<Row> = vec![
        (
            Box::new(ops::log()),
            &[
                1.252762968495368,
                0.0,
                -1.6094379124341,
                -1.203972804325936,
                0.182321556793955,
                1.223775431622116,
            ],
        ),
        (
            Box::new(ops::pow(0.7)),
            &[
                2.403519395349548,
                1.0,
                0.324131319338553,
                0.430511620249934,
                1.136126977198889,
                2.35524039811009,
            ],
        ),
        (
            Box::new(ops::rsqrt()),
            &[
                0.534522483824849,
                1.0,
                2.23606797749979,
                1.825741858350554,
                0.912870929175277,
                0.54232614454664,
            ],
        ),
        (
            Box::new(ops::sqrt()),
            &[
                1.870828693386971,
                1.0,
                0.447213595499958,
                0.547722557505166,
                1.095445115010332,
                1.843908891458578,
            ],
        ),
    ];
    for (op, want) in rows {
        agrees(&*op, &[array(&[6], &x.map(f64::abs))], want);
    }
}

#[test]
fn windows() {
    let images = grid(&[1, 5, 4, 2]);
    let max = |kernel, stride, padding, dilation, ceil_mode| {
        ops::max_pool2d(MaxPool { kernel, stride, padding, dilation, ceil_mode })
    };
    let avg = |count_include_pad| {
        let (kernel, stride, padding) = ([3, 2], [3, 3], [1, 1]);
        ops::avg_pool2d(AvgPool { kernel, stride, padding, ceil_mode: true, count_include_pad })
    };
    let rows: Vec<Row> = vec![
        (
            Box::new(max([3, 2], [2, 3], [1, 0], [1, 1], true)),
            &[-0.25, 1.25, 1.25, 0.25, 0.25, 1.25, 1.25, 0.75, 0.5, 1.25, -0.75, 1.0],
        ),
        (
            Box::new(max([2, 2], [1, 2], [1, 1], [2, 1], false)),
            &[
                -1.0, 0.75, 0.5, -0.5, 1.25, 0.25, -0.75, 1.0, 0.75, 1.25, 1.0, 0.5, -0.5, 1.25, 1.0, 0.0,
                1.25, 0.75, -0.25, 1.0, 1.25, 0.25, -0.75, 1.0, -0.5, 1.25, 1.0, 0.0, -1.0, 0.75,
            ],
        ),
        (
            Box::new(avg(true)),
            &[-0.375, 0.208333333333333, 0.5, -0.166666666666667, -0.25, 0.166666666666667, 0.0, 0.375],
        ),
        (Box::new(avg(false)), &[-1.125, 0.625, 0.75, -0.25, -0.5, 0.333333333333333, 0.0, 0.375]),
        (
            Box::new(ops::adaptive_avg_pool([3, 3])),
            &[
                -0.75,
                0.3125,
                0.0,
                -0.3125,
                0.75,
                -0.25,
                -0.375,
                0.0,
                0.375,
                -0.625,
                0.208333333333333,
                0.125,
                0.0,
                -0.3125,
                0.75,
                -0.25,
                0.125,
                0.5,
            ],
        ),
    ];
    for (op, want) in rows {
        agrees(&*op, std::slice::from_ref(&images), want);
    }
    let convolution =
        ops::convolution(Convolution { stride: [2, 1], padding: [1, 0], dilation: [2, 1], groups: 2 });
    let w = grid(&[2, 1, 2, 3]);
    agrees(
        &convolution,
        &[images.clone(), w.clone()],
        &[-1.6875, 1.5, -1.125, -1.125, -0.4375, 2.375, 1.25, -3.0, 0.25, 1.25, 0.6875, -1.5],
    );
    let transposed = ops::conv_transpose(ConvTranspose {
        stride: [2, 1],
        padding: [1, 0],
        output_padding: [1, 0],
        dilation: [1, 2],
        groups: 2,
    });
    let x = images.as_slice();
    let corner = array(&[1, 2, 2, 2], &[&x[..4], &x[8..12]].concat());
    agrees(
        &transposed,
        &[corner, w],
        &[
            -1.5625, 0.375, -0.625, 0.9375, -0.3125, -0.125, -0.125, -0.3125, 0.9375, -0.625, 0.375, -1.5625,
            1.25, 0.75, 0.3125, -1.25, -0.5, 0.0, -0.125, 0.0, 0.5, -0.75, 0.125, 1.25, -1.25, 0.5625,
            -0.3125, -0.9375, -0.25, -0.1875, -0.0625, 0.3125, 0.75, -0.9375, 0.1875, 1.5625,
        ],
    );
}

#[test]
fn attention_with_masks_and_shared_heads() {
    let half = |mut x: Array<f64>| {
        x.make_mut().iter_mut().for_each(|v| *v *= 0.5);
        x
    };
    let mut inputs = vec![grid(&[1, 2, 2, 2]), half(grid(&[1, 3, 1, 2])), grid(&[1, 3, 1, 2])];
    let causal = ops::scaled_dot_product(0.6, true);
    agrees(
        &causal,
        &inputs,
        &[-1.25, 0.5, -1.25, 0.5, -0.89607153080629, 0.85392846919371, -0.832989582091535, 0.917010417908465],
    );
    // The same number for all keys of a query changes nothing.
    let plain = ops::scaled_dot_product(0.6, false);
    let x: Vec<_> = inputs.iter().collect();
    let y = Shape::new(&[1, 2, 2, 2]);
    let want = plain.forward(&Context::new(&Pool::new(), 1), &x, y, Keep::default()).0.to_f64();
    agrees(&plain, &[&inputs[..], &[grid(&[1, 2, 2, 1])]].concat(), &want);
    // Query 1 sees nothing: zeros.
    let mut mask = grid(&[1, 1, 2, 3]);
    [1, 3, 4, 5].iter().for_each(|&i| mask.make_mut()[i] = f64::NEG_INFINITY);
    inputs.push(mask);
    agrees(&plain, &inputs, &[-0.5, -0.125, -0.478911810069379, -0.142573491608851, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn queries_keys_and_values_side_by_side_are_those_of_arrays_of_their_own() {
    let (tokens, heads, size) = (3, 2, 2);
    let packed = grid(&[1, tokens, 3 * heads * size]);
    let part = |i: usize| {
        let mut part = grid(&[1, tokens, heads, size]);
        let rows = packed.as_slice().chunks(3 * heads * size);
        let values = rows.flat_map(|row| &row[i * heads * size..][..heads * size]);
        part.make_mut().iter_mut().zip(values).for_each(|(to, v)| *to = *v);
        part
    };
    let (cx, parts) = (Context::new(&Pool::new(), 1), [part(0), part(1), part(2)]);
    let separate = ops::scaled_dot_product(1.0 / 2f64.sqrt(), false);
    let y = Shape::new(&[1, tokens, heads, size]);
    let want = separate.forward(&cx, &parts.iter().collect::<Vec<_>>(), y, Keep::default()).0.to_f64();
    agrees(&ops::attention(heads), &[packed], &want);
}

#[test]
fn cross_entropy_with_ignored_targets() {
    let op = ops::cross_entropy(vec![0, ops::IGNORED, 2, 1].into(), 0.2);
    agrees(&op, &[grid(&[2, 2, 3])], &[1.8771335763669543]);
}
