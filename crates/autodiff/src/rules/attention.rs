//! The rules of attention (Vaswani et al. 2017), with masks and grouped heads, of queries, keys and values that are arrays of their own or lie
//! side by side in one. Per sample and head, with M an additive mask and ⟨A, B⟩ the sums over the rows of A⊙B:
//!
//! ```text
//! S = s·qkᵀ + M    P = softmax(S)    y = P·v
//! Ṡ = s(q̇kᵀ + qk̇ᵀ) + Ṁ    Ṗ = P⊙(Ṡ − ⟨P, Ṡ⟩)    ẏ = Ṗv + Pv̇
//! P̄ = ȳvᵀ    S̄ = P⊙(P̄ − ⟨P, P̄⟩)    q̄ = s·S̄k    k̄ = s·S̄ᵀq    v̄ = Pᵀȳ    M̄ = S̄
//! S̄̇ = Ṗ⊙(P̄ − ⟨P, P̄⟩) + P⊙(P̄̇ − ⟨Ṗ, P̄⟩ − ⟨P, P̄̇⟩)    P̄̇ = ȳ̇vᵀ + ȳv̇ᵀ
//! q̄̇ = s(S̄̇k + S̄k̇)    k̄̇ = s(S̄̇ᵀq + S̄ᵀq̇)    v̄̇ = Ṗᵀȳ + Pᵀȳ̇    M̄̇ = S̄̇
//! ```
//!
//! The adjoints of keys and values are sums over the heads that share them, that of the mask over the axes along which it repeats. A query all
//! of whose keys are masked by −∞ gives zeros, and no derivatives, as in PyTorch 2.15.
//!
//! One op and not six: the scores of a head stay in cache, and nothing is cut out of its array or permuted.

use crate::extensions::{Extensions, Work};
use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::rules::softmax_row;
use sph_tensor::kernels::broadcast::{self, Broadcast, Operand};
use sph_tensor::kernels::dot::dot;
use sph_tensor::kernels::gemm::{View, scaled_rows};
use sph_tensor::kernels::map::{each_row, each_sample, each_sample_of};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Attention; made by [`attention`](crate::ops::attention) and [`scaled_dot_product`](crate::ops::scaled_dot_product).
#[derive(Debug, Clone, Copy)]
pub struct AttentionOp {
    /// The name of the op that this is.
    pub name: &'static str,
    /// The number of heads of queries, keys and values that lie side by side in one input; `None` for an input of each.
    pub packed: Option<usize>,
    /// The factor s of the products; `None` for 1/√D.
    pub scale: Option<f64>,
    /// Query i sees the keys j ≤ i alone.
    pub causal: bool,
}

const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const MASK: usize = 3;

/// The sizes of one application.
#[derive(Clone, Copy)]
struct Sizes {
    samples: usize,
    /// T.
    queries: usize,
    /// S.
    keys: usize,
    /// H.
    heads: usize,
    /// G.
    groups: usize,
    /// D.
    size: usize,
    /// E.
    out: usize,
    /// Whether queries, keys and values lie in one array, each row those of a token.
    packed: bool,
}

impl Sizes {
    fn of(x: &[Shape], packed: Option<usize>) -> Option<Self> {
        match packed {
            Some(heads) => Self::side_by_side(x[0], heads),
            None => Self::separate(x),
        }
    }

    fn side_by_side(x: Shape, heads: usize) -> Option<Self> {
        let &[samples, t, width] = x.dims() else { return None };
        let fits = t > 0 && width > 0 && heads > 0 && width % (3 * heads) == 0;
        fits.then(|| {
            let size = width / (3 * heads);
            Sizes { samples, queries: t, keys: t, heads, groups: heads, size, out: size, packed: true }
        })
    }

    fn separate(x: &[Shape]) -> Option<Self> {
        let (&[n, t, h, d], &[n_k, s, g, d_k], &[n_v, s_v, g_v, e]) = (x[Q].dims(), x[K].dims(), x[V].dims())
        else {
            return None;
        };
        let fits =
            [n_k, n_v, s_v, g_v, d_k] == [n, n, s, g, d] && g > 0 && h % g == 0 && t * h * s * d * e > 0;
        let sizes =
            Sizes { samples: n, queries: t, keys: s, heads: h, groups: g, size: d, out: e, packed: false };
        let mask = |m: &Shape| m.rank() == 4 && Broadcast::shape(*m, sizes.scores()) == Some(sizes.scores());
        (fits && x.get(MASK).is_none_or(mask)).then_some(sizes)
    }

    /// The input that holds queries, keys or values.
    fn slot(self, part: usize) -> usize {
        if self.packed { 0 } else { part }
    }

    /// How many inputs hold queries, keys and values.
    fn slots(self) -> usize {
        if self.packed { 1 } else { 3 }
    }

    /// The shape of the scores.
    fn scores(self) -> Shape {
        Shape::new(&[self.samples, self.heads, self.queries, self.keys])
    }

    /// Scores of one head.
    fn per_head(self) -> usize {
        self.queries * self.keys
    }

    /// The group of keys and values that a head reads.
    fn group(self, head: usize) -> usize {
        head / (self.heads / self.groups)
    }

    /// Rows, heads and the size of each in queries, keys or values, or in y where `part` is `None`.
    fn layout(self, part: Option<usize>) -> (usize, usize, usize) {
        match part {
            Some(Q) => (self.queries, self.heads, self.size),
            Some(K) => (self.keys, self.groups, self.size),
            Some(_) => (self.keys, self.groups, self.out),
            None => (self.queries, self.heads, self.out),
        }
    }

    /// Where `part` of head `head` begins in its array's sample, and how far its rows are apart.
    fn place(self, part: Option<usize>, head: usize) -> (usize, usize) {
        let (_, heads, size) = self.layout(part);
        let at = if heads == self.heads { head } else { self.group(head) } * size;
        match part {
            Some(part) if self.packed => (part * heads * size + at, 3 * heads * size),
            _ => (at, heads * size),
        }
    }

    /// What head `head` of sample `i` reads of an array that is shaped as the one of `part`.
    fn view<T>(self, x: &[T], part: Option<usize>, i: usize, head: usize) -> View<'_, T> {
        let (rows, _, size) = self.layout(part);
        let (at, step) = self.place(part, head);
        View::strided(&x[i * rows * step + at..], rows, size, step)
    }

    /// Writes a product to a head's place in one sample of an array that is shaped as the one of `part`, or adds it where `add` says so or
    /// another head has written there.
    fn put<T: Element>(
        self,
        out: &mut [T],
        (part, head, add): (Option<usize>, usize, bool),
        scale: T,
        (a, b): (View<'_, T>, View<'_, T>),
    ) {
        let (_, heads, _) = self.layout(part);
        let (at, step) = self.place(part, head);
        let shared = heads != self.heads && !head.is_multiple_of(self.heads / self.groups);
        scaled_rows(&mut out[at..], step, add || shared, scale, a, b);
    }

    /// Scores of one head as a matrix.
    fn matrix<T>(self, scores: &[T]) -> View<'_, T> {
        View::new(scores, self.queries, self.keys)
    }

    /// `out = scale·Σ a·bᵀ` over the pairs given; zero if there are none.
    fn products<T: Element>(self, out: &mut [T], scale: T, pairs: &[Option<(View<'_, T>, View<'_, T>)>]) {
        let mut add = false;
        for (a, b) in pairs.iter().flatten() {
            scaled_rows(out, self.keys, add, scale, *a, b.t());
            add = true;
        }
        if !add {
            out.fill(T::ZERO);
        }
    }

    /// `v = P⊙(v − ⟨P, v⟩)`, row by row.
    fn project<T: Element>(self, p: &[T], v: &mut [T]) {
        each_row(
            v,
            [p],
            self.keys,
            #[inline(always)]
            |[p], v| {
                let mean = dot(p, v);
                (0..p.len()).for_each(|i| v[i] = p[i] * (v[i] - mean));
            },
        );
    }

    /// Adds what a mask of shape `shape` says of one head of one sample.
    fn add_mask<T: Element>(self, scores: &mut [T], (mask, shape): (&[T], Shape), i: usize, head: usize) {
        let step = |axis: usize| if shape[axis] == 1 { 0 } else { shape.dims()[axis + 1..].iter().product() };
        let base = i * step(0) + head * step(1);
        for (t, row) in scores.chunks_exact_mut(self.keys).enumerate() {
            let mask = &mask[base + t * step(2)..];
            if shape[3] == 1 {
                row.iter_mut().for_each(|v| *v += mask[0]);
            } else {
                row.iter_mut().zip(mask).for_each(|(v, m)| *v += *m);
            }
        }
    }
}

impl AttentionOp {
    fn sizes(&self, x: &[Shape]) -> Sizes {
        Sizes::of(x, self.packed).expect("checked by output_shape")
    }

    fn scale<T: Element>(&self, s: Sizes) -> T {
        T::from_f64(self.scale.unwrap_or(1.0 / (s.size as f64).sqrt()))
    }

    /// The softmax of the rows of one head's scores, in their place.
    fn weights<T: Element>(&self, s: Sizes, scores: &mut [T]) {
        let closed = T::from_f64(f64::NEG_INFINITY);
        for (t, row) in scores.chunks_exact_mut(s.keys).enumerate() {
            let seen = if self.causal { (t + 1).min(row.len()) } else { row.len() };
            row[seen..].fill(closed);
        }
        each_row(
            scores,
            [],
            s.keys,
            #[inline(always)]
            |[], row| match row.iter().all(|v| *v == closed) {
                true => row.fill(T::ZERO),
                false => softmax_row(row),
            },
        );
    }
}

/// The tangents of one probe that are present.
#[derive(Clone, Copy)]
struct Dots<'a, T: Element> {
    x: [Option<&'a [T]>; 3],
    mask: Option<(&'a [T], Shape)>,
}

impl<'a, T: Element> Dots<'a, T> {
    fn new(s: Sizes, r: &Record<T>, x_dot: &[Option<&'a Array<T>>], probe: usize) -> Self {
        let input = |i: usize| x_dot.get(i).copied().flatten().map(|d| d.part(probe));
        Dots { x: [Q, K, V].map(|part| input(s.slot(part))), mask: input(MASK).map(|d| (d, r.x[MASK])) }
    }

    /// Whether scores have a tangent.
    fn moves_scores(&self) -> bool {
        self.x[Q].is_some() || self.x[K].is_some() || self.mask.is_some()
    }

    /// Ṗ of one head of a sample.
    fn weights(&self, s: Sizes, scale: T, x: [&[T]; 3], p: &[T], (i, head): (usize, usize), out: &mut [T]) {
        let view = |part: usize, x| s.view(x, Some(part), i, head);
        let from_q = self.x[Q].map(|d| (view(Q, d), view(K, x[K])));
        let from_k = self.x[K].map(|d| (view(Q, x[Q]), view(K, d)));
        s.products(out, scale, &[from_q, from_k]);
        if let Some(mask) = self.mask {
            s.add_mask(out, mask, i, head);
        }
        s.project(p, out);
    }
}

/// The sums of scores over the axes along which a mask of shape `shape` repeats.
fn to_mask<T: Element>(s: Sizes, shape: Shape, scores: &[T], out: &mut [T]) {
    broadcast::sum(&Broadcast::new(s.scores(), &[shape]), 0, out, [Operand::Full(scores)], |[s]| s);
}

/// Part `k` of `parts` equal ones of each array; nothing of one that is not there.
fn part_of_each<T: Element, const N: usize>(
    arrays: &mut [Option<Array<T>>; N],
    k: usize,
    parts: usize,
) -> [&mut [T]; N] {
    arrays.each_mut().map(|array| match array {
        Some(array) => {
            let n = array.shape().len() / parts;
            &mut array.make_mut()[k * n..(k + 1) * n]
        }
        None => &mut [],
    })
}

impl<T: Element> Op<T> for AttentionOp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let expects = match self.packed {
            Some(_) => "expects tokens of queries, keys and values of every head",
            None => {
                "expects queries, keys and values [N, tokens, heads, size] that fit each other, and a mask that broadcasts to the scores"
            }
        };
        let s = Sizes::of(x, self.packed).ok_or_else(|| ShapeError::new(self.name, expects, x))?;
        Ok(match s.packed {
            true => Shape::new(&[s.samples, s.queries, s.heads * s.out]),
            false => Shape::new(&[s.samples, s.queries, s.heads, s.out]),
        })
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let shapes: Vec<Shape> = x.iter().map(|x| x.shape()).collect();
        let s = self.sizes(&shapes);
        let scale = self.scale(s);
        let (work, per_head) = (multiply_adds(s), s.per_head());
        let view = |part: usize, i, head| s.view(x[s.slot(part)].as_slice(), Some(part), i, head);
        let mut p = cx.array(s.scores());
        each_sample(p.make_mut(), s.heads * per_head, work, &cx.pool, 0, |i, p, _| {
            for (head, p) in p.chunks_exact_mut(per_head).enumerate() {
                s.products(p, scale, &[Some((view(Q, i, head), view(K, i, head)))]);
                if let Some(mask) = x.get(MASK) {
                    s.add_mask(p, (mask.as_slice(), mask.shape()), i, head);
                }
                self.weights(s, p);
            }
        });
        let mut value = cx.array(y);
        let p_all = p.as_slice();
        each_sample(value.make_mut(), s.queries * s.heads * s.out, work, &cx.pool, 0, |i, y, _| {
            for head in 0..s.heads {
                let p = s.matrix(&p_all[(i * s.heads + head) * per_head..][..per_head]);
                s.put(y, (None, head, false), T::ONE, (p, view(V, i, head)));
            }
        });
        let kept = x[..s.slots()].iter().map(|&x| x.clone()).chain([p]).map(|a| keep.any().then_some(a));
        (value, Residuals::new(kept))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let s = self.sizes(&r.x);
        let scale = self.scale(s);
        let x = [Q, K, V].map(|part| r.residuals.at(s.slot(part)).as_slice());
        let (p, y_bar, per_head) = (r.residuals.at(s.slots()).as_slice(), y_bar.as_slice(), s.per_head());
        let with_mask = r.x.len() > MASK && need.has(MASK);
        let array = |i: usize| {
            (i < s.slots() && need.has(i) || i == MASK && with_mask)
                .then(|| cx.array(if i == MASK { s.scores() } else { r.x[i] }))
        };
        let mut bars = [Q, K, V, MASK].map(array);
        let outs = part_of_each(&mut bars, 0, 1);
        each_sample_of(outs, s.samples, 2 * multiply_adds(s), &cx.pool, per_head, |i, outs, scratch| {
            let [mut parts @ .., scores] = outs;
            for head in 0..s.heads {
                let p = &p[(i * s.heads + head) * per_head..][..per_head];
                let view = |part: usize| s.view(x[part], Some(part), i, head);
                let y_bar = s.view(y_bar, None, i, head);
                let s_bar =
                    if with_mask { &mut scores[head * per_head..][..per_head] } else { &mut *scratch };
                if need.has(s.slot(Q)) || need.has(s.slot(K)) || with_mask {
                    s.products(s_bar, T::ONE, &[Some((y_bar, view(V)))]);
                    s.project(p, s_bar);
                }
                let mut put = |part: usize, scale: T, product: (View<'_, T>, View<'_, T>)| {
                    if need.has(s.slot(part)) {
                        s.put(parts[s.slot(part)], (Some(part), head, false), scale, product);
                    }
                };
                put(Q, scale, (s.matrix(s_bar), view(K)));
                put(K, scale, (s.matrix(s_bar).t(), view(Q)));
                put(V, T::ONE, (s.matrix(p).t(), y_bar));
            }
        });
        let [q_bar, k_bar, v_bar, scores] = bars;
        let mask_bar = scores.map(|scores| {
            let mut mask_bar = cx.array(r.x[MASK]);
            to_mask(s, r.x[MASK], scores.as_slice(), mask_bar.make_mut());
            mask_bar
        });
        [q_bar, k_bar, v_bar, mask_bar].into_iter().take(r.x.len()).collect()
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let s = self.sizes(&r.x);
        let scale = self.scale(s);
        let x = [Q, K, V].map(|part| r.residuals.at(s.slot(part)).as_slice());
        let (p, per_head) = (r.residuals.at(s.slots()).as_slice(), s.per_head());
        let (size, work) = (s.queries * s.heads * s.out, 2 * multiply_adds(s));
        cx.each_probe(r.y, |probe, y_dot| {
            let dots = Dots::new(s, r, x_dot, probe);
            each_sample(y_dot, size, work, &cx.pool, per_head, |i, y_dot, p_dot| {
                for head in 0..s.heads {
                    let p = &p[(i * s.heads + head) * per_head..][..per_head];
                    if dots.moves_scores() {
                        dots.weights(s, scale, x, p, (i, head), p_dot);
                        let v = s.view(x[V], Some(V), i, head);
                        s.put(y_dot, (None, head, false), T::ONE, (s.matrix(p_dot), v));
                    }
                    if let Some(v_dot) = dots.x[V] {
                        let v_dot = s.view(v_dot, Some(V), i, head);
                        s.put(y_dot, (None, head, dots.moves_scores()), T::ONE, (s.matrix(p), v_dot));
                    }
                }
            });
        })
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T> {
        let s = self.sizes(&r.x);
        let scale = self.scale(s);
        let x = [Q, K, V].map(|part| r.residuals.at(s.slot(part)).as_slice());
        let (p, y_bar, per_head) = (r.residuals.at(s.slots()).as_slice(), y_bar.as_slice(), s.per_head());
        let with_mask = r.x.len() > MASK && need.has(MASK);
        let tangent = |i: usize| (i < s.slots() && need.has(i)).then(|| cx.tangent(r.x[i]));
        let (mut tangents, mut scores) = ([Q, K, V].map(tangent), [with_mask.then(|| cx.array(s.scores()))]);
        let mut mask_bar_dot = with_mask.then(|| cx.tangent(r.x[MASK]));
        for probe in 0..cx.probes {
            let dots = Dots::new(s, r, x_dot, probe);
            let y_bar_dot = y_bar_dot.map(|d| d.part(probe));
            let [q, k, v] = part_of_each(&mut tangents, probe, cx.probes);
            let [all] = part_of_each(&mut scores, 0, 1);
            let work = 4 * multiply_adds(s);
            each_sample_of([q, k, v, all], s.samples, work, &cx.pool, 3 * per_head, |i, outs, scratch| {
                let [mut parts @ .., all] = outs;
                let (p_bar, rest) = scratch.split_at_mut(per_head);
                let (p_dot, rest) = rest.split_at_mut(per_head);
                if !dots.moves_scores() && y_bar_dot.is_none() {
                    parts[V].fill(T::ZERO);
                }
                for head in 0..s.heads {
                    let p = &p[(i * s.heads + head) * per_head..][..per_head];
                    let view = |part: usize, x| s.view(x, Some(part), i, head);
                    let [q, k, v] = [Q, K, V].map(|part| view(part, x[part]));
                    let y_bar = s.view(y_bar, None, i, head);
                    let y_bar_dot = y_bar_dot.map(|d| s.view(d, None, i, head));
                    // P̄̇, then S̄̇ in its place; S̄ in that of P̄.
                    let s_bar_dot =
                        if with_mask { &mut all[head * per_head..][..per_head] } else { &mut *rest };
                    let from_v = dots.x[V].map(|d| (y_bar, view(V, d)));
                    s.products(s_bar_dot, T::ONE, &[y_bar_dot.map(|d| (d, v)), from_v]);
                    if dots.moves_scores() {
                        s.products(p_bar, T::ONE, &[Some((y_bar, v))]);
                        dots.weights(s, scale, x, p, (i, head), p_dot);
                        each_row(
                            s_bar_dot,
                            [p, p_dot, p_bar],
                            s.keys,
                            #[inline(always)]
                            |[p, p_dot, p_bar], v| {
                                let (mean, mean_dot) = (dot(p, p_bar), dot(p_dot, p_bar) + dot(p, v));
                                for i in 0..p.len() {
                                    v[i] = p_dot[i] * (p_bar[i] - mean) + p[i] * (v[i] - mean_dot);
                                }
                            },
                        );
                        s.project(p, p_bar);
                    } else {
                        s.project(p, s_bar_dot);
                    }
                    let (s_bar, s_bar_dot) = (s.matrix(p_bar), s.matrix(s_bar_dot));
                    let mut put =
                        |part: usize, scale: T, products: [Option<(View<'_, T>, View<'_, T>)>; 2]| {
                            if need.has(s.slot(part)) {
                                let mut add = false;
                                for product in products.into_iter().flatten() {
                                    s.put(parts[s.slot(part)], (Some(part), head, add), scale, product);
                                    add = true;
                                }
                            }
                        };
                    put(Q, scale, [Some((s_bar_dot, k)), dots.x[K].map(|d| (s_bar, view(K, d)))]);
                    put(K, scale, [Some((s_bar_dot.t(), q)), dots.x[Q].map(|d| (s_bar.t(), view(Q, d)))]);
                    let from_p = dots.moves_scores().then(|| (s.matrix(p_dot).t(), y_bar));
                    put(V, T::ONE, [from_p, y_bar_dot.map(|d| (s.matrix(p).t(), d))]);
                }
            });
            if let (Some(out), [Some(scores)]) = (&mut mask_bar_dot, &scores) {
                let n = r.x[MASK].len();
                to_mask(s, r.x[MASK], scores.as_slice(), &mut out.make_mut()[probe * n..(probe + 1) * n]);
            }
        }
        let [q, k, v] = tangents;
        [q, k, v, mask_bar_dot].into_iter().take(r.x.len()).collect()
    }

    fn extensions(&self) -> Extensions<'_, T> {
        Extensions { work: Some(self), ..Extensions::NONE }
    }
}

impl<T: Element> Work<T> for AttentionOp {
    fn multiply_adds(&self, x: &[Shape], _y: Shape) -> u64 {
        multiply_adds(self.sizes(x)) as u64
    }
}

/// Multiply-adds of S = qkᵀ and y = Pv.
fn multiply_adds(s: Sizes) -> usize {
    s.scores().len() * (s.size + s.out)
}
