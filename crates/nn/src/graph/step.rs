//! The steps of an imported network, and how they run.

use super::size::{Size, dims, shown};
use crate::statistics::StatisticsSlot;
use crate::{Forward, LayerError, Mode, Module};
use sph_autodiff::{Op, Statistics, Var, ops};
use sph_tensor::{Array, Element, Rng, Shape, ShapeError};
use std::sync::Arc;

/// What a step reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Id {
    /// A parameter of the network, by its number.
    Param(usize),
    /// A value: inputs come first, then what steps make.
    Value(usize),
}

/// What the op of a step may depend on, beside its inputs.
pub(crate) struct Pass<'a> {
    /// Samples in the batch.
    pub batch: usize,
    state: &'a dyn State,
}

impl Pass<'_> {
    /// The shape for this batch.
    pub fn shape(&self, sizes: &[Size]) -> Shape {
        Shape::new(&dims(sizes, self.batch))
    }

    /// Where a batch normalization with these running statistics takes its moments from.
    pub fn moments(&self, slot: StatisticsSlot) -> ops::Moments {
        self.state.moments(slot)
    }

    /// The random stream of a source of masks.
    pub fn rng(&self, source: u64) -> Rng {
        self.state.rng(source)
    }
}

/// What a pass of either element type knows.
trait State {
    fn moments(&self, slot: StatisticsSlot) -> ops::Moments;
    fn rng(&self, source: u64) -> Rng;
}

impl<T: Element> State for Forward<'_, T> {
    fn moments(&self, running: StatisticsSlot) -> ops::Moments {
        match self.takes_statistics(running) {
            true => ops::Moments::Batch { slot: Some(running.slot) },
            false => ops::Moments::Running {
                mean: self.buffer(running.mean).to_vec(),
                var: self.buffer(running.var).to_vec(),
            },
        }
    }

    fn rng(&self, source: u64) -> Rng {
        Forward::rng(self, source)
    }
}

/// A pass for shapes alone.
struct Shapes;

impl State for Shapes {
    fn moments(&self, _slot: StatisticsSlot) -> ops::Moments {
        ops::Moments::Batch { slot: None }
    }

    fn rng(&self, source: u64) -> Rng {
        Rng::new(0, "shapes", source, 0)
    }
}

/// What a step does to its inputs.
pub(crate) trait Make<T: Element>: Send + Sync {
    /// Runs it on `f`, as a part of `layer`.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        batch: usize,
        x: &[&Var<T>],
        layer: &str,
    ) -> Result<Var<T>, LayerError>;

    /// The shape of what it makes.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn shape(&self, pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError>;
}

/// A step for both element types.
pub(crate) trait Action: Make<f32> + Make<f64> {}

impl<M: Make<f32> + Make<f64>> Action for M {}

/// An op, made for the pass at hand.
pub(crate) struct Apply<F>(pub F);

impl<T: Element, O: Op<T> + 'static, F: Fn(&Pass<'_>) -> O + Send + Sync> Make<T> for Apply<F> {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        batch: usize,
        x: &[&Var<T>],
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let op = (self.0)(&Pass { batch, state: &*f });
        f.apply(op, x, &[], layer)
    }

    fn shape(&self, pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        Op::<T>::output_shape(&(self.0)(pass), x)
    }
}

/// An array that is known beforehand.
pub(crate) struct Known {
    pub shape: Vec<usize>,
    pub values: Arc<[f64]>,
}

impl<T: Element> Make<T> for Known {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        _batch: usize,
        _x: &[&Var<T>],
        _layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let mut array = Array::stale(f.tape.pool(), Shape::new(&self.shape));
        array.make_mut().iter_mut().zip(&*self.values).for_each(|(to, from)| *to = T::from_f64(*from));
        Ok(f.tape.constant(array))
    }

    fn shape(&self, _pass: &Pass<'_>, _x: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(Shape::new(&self.shape))
    }
}

/// A buffer of the network, which is no constant: a file may hold another one.
pub(crate) struct Stored {
    pub buffer: usize,
    pub shape: Vec<usize>,
}

impl<T: Element> Make<T> for Stored {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        _batch: usize,
        _x: &[&Var<T>],
        _layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let mut array = Array::stale(f.tape.pool(), Shape::new(&self.shape));
        array
            .make_mut()
            .iter_mut()
            .zip(f.buffer(self.buffer))
            .for_each(|(to, from)| *to = T::from_f64(*from));
        Ok(f.tape.constant(array))
    }

    fn shape(&self, _pass: &Pass<'_>, _x: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(Shape::new(&self.shape))
    }
}

/// Ones with probability p, else zeros, drawn anew for every batch; p itself in evaluation, which is their mean.
pub(crate) struct Bernoulli {
    pub sizes: Vec<Size>,
    pub p: f64,
    pub source: u64,
}

impl<T: Element> Make<T> for Bernoulli {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        batch: usize,
        _x: &[&Var<T>],
        _layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let shape = Shape::new(&dims(&self.sizes, batch));
        let mut array = Array::full(f.tape.pool(), shape, T::from_f64(self.p));
        if f.mode() == Mode::Train {
            let mut rng = f.rng(self.source);
            let draw = |v: &mut T| *v = if rng.uniform() < self.p { T::ONE } else { T::ZERO };
            array.make_mut().iter_mut().for_each(draw);
        }
        Ok(f.tape.constant(array))
    }

    fn shape(&self, pass: &Pass<'_>, _x: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(pass.shape(&self.sizes))
    }
}

/// An op in training; in evaluation its input stays as it is.
pub(crate) struct InTraining<F>(pub F);

impl<T: Element, O: Op<T> + 'static, F: Fn(&Pass<'_>) -> O + Send + Sync> Make<T> for InTraining<F> {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        batch: usize,
        x: &[&Var<T>],
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        if f.mode() == Mode::Eval {
            return Ok(x[0].clone());
        }
        let op = (self.0)(&Pass { batch, state: &*f });
        f.apply(op, x, &[], layer)
    }

    fn shape(&self, pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        Op::<T>::output_shape(&(self.0)(pass), x)
    }
}

/// What a buffer becomes in training, its first input; in evaluation its second, which it was before.
pub(crate) struct Trained;

impl<T: Element> Make<T> for Trained {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        _batch: usize,
        x: &[&Var<T>],
        _layer: &str,
    ) -> Result<Var<T>, LayerError> {
        Ok(if f.mode() == Mode::Train { x[0].clone() } else { x[1].clone() })
    }

    fn shape(&self, _pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        match x[0] == x[1] {
            true => Ok(x[0]),
            false => Err(ShapeError::new("buffer", "a new value has another shape", x)),
        }
    }
}

/// A mask of two values: 1 where `holds` of them, else 0. Nothing depends on it smoothly.
pub(crate) struct Compare {
    pub holds: fn(f64, f64) -> bool,
}

impl<T: Element> Make<T> for Compare {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        _batch: usize,
        x: &[&Var<T>],
        _layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let mut mask = Array::stale(f.tape.pool(), x[0].value().shape());
        let pairs = x[0].value().as_slice().iter().zip(x[1].value().as_slice());
        for (to, (a, b)) in mask.make_mut().iter_mut().zip(pairs) {
            *to = if (self.holds)(a.to_f64(), b.to_f64()) { T::ONE } else { T::ZERO };
        }
        Ok(f.tape.constant(mask))
    }

    fn shape(&self, _pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        match x[0] == x[1] {
            true => Ok(x[0]),
            false => Err(ShapeError::new("compare", "shapes differ", x)),
        }
    }
}

/// A number where a mask, the second input, is 1 (or where it is 0, when `inverted`); elsewhere the first input.
pub(crate) struct Masked {
    pub value: f64,
    pub inverted: bool,
}

impl<T: Element> Make<T> for Masked {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        _batch: usize,
        x: &[&Var<T>],
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let set = |v: &T| (*v != T::ZERO) != self.inverted;
        let bits = x[1].value().as_slice().iter().map(set).collect();
        f.apply(ops::masked_fill(bits, x[1].value().shape(), self.value), &[x[0]], &[], layer)
    }

    fn shape(&self, _pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        match x[0] == x[1] {
            true => Ok(x[0]),
            false => Err(ShapeError::new("masked_fill", "shapes differ", x)),
        }
    }
}

/// Its value, on which nothing depends from here on: PyTorch's `detach`.
pub(crate) struct Detach;

impl<T: Element> Make<T> for Detach {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        _batch: usize,
        x: &[&Var<T>],
        _layer: &str,
    ) -> Result<Var<T>, LayerError> {
        Ok(f.tape.constant(x[0].value().clone()))
    }

    fn shape(&self, _pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(x[0])
    }
}

/// Whole numbers below `end` that an input holds; others are named in the error.
fn whole<T: Element>(x: &Var<T>, end: usize, what: &str, op: &'static str) -> Result<Vec<u32>, ShapeError> {
    let whole = |v: &T| {
        let v = v.to_f64();
        (v >= 0.0 && v < end as f64 && v.fract() == 0.0).then_some(v as u32).ok_or(v)
    };
    let found: Result<Vec<u32>, f64> = x.value().as_slice().iter().map(whole).collect();
    found.map_err(|v| ShapeError::new(op, format!("{v} is no {what} among {end}"), &[x.value().shape()]))
}

/// Rows of a table, the second input, that an input of whole numbers names. The row `padding` takes part in no gradient.
pub(crate) struct Lookup {
    pub sizes: Vec<Size>,
    pub padding: Option<usize>,
}

impl<T: Element> Make<T> for Lookup {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        batch: usize,
        x: &[&Var<T>],
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let named = |source| LayerError { layer: layer.to_string(), source };
        let indices = whole(x[0], x[1].value().shape()[0], "row", "embedding").map_err(named)?;
        let shape = Shape::new(&dims(&self.sizes, batch));
        match self.padding {
            Some(row) => {
                f.apply(ops::embedding_with_padding(indices.into(), shape, row as u32), &[x[1]], &[], layer)
            }
            None => f.apply(ops::embedding(indices.into(), shape), &[x[1]], &[], layer),
        }
    }

    fn shape(&self, pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        let mut sizes = dims(&self.sizes, pass.batch);
        if x[1].rank() != 2 || sizes.len() > 4 {
            return Err(ShapeError::new("embedding", "expects a table [V, D] and few axes", x));
        }
        sizes.push(x[1][1]);
        Ok(Shape::new(&sizes))
    }
}

/// Mean cross-entropy of logits against classes, the second input; the class `ignored` does not count.
pub(crate) struct CrossEntropy {
    pub ignored: i64,
    pub smoothing: f64,
}

impl<T: Element> Make<T> for CrossEntropy {
    fn run(
        &self,
        f: &mut Forward<'_, T>,
        _batch: usize,
        x: &[&Var<T>],
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let classes = x[0].value().shape().last();
        let class = |v: &T| {
            let v = v.to_f64();
            if v == self.ignored as f64 {
                return Ok(ops::IGNORED);
            }
            (v >= 0.0 && v < classes as f64 && v.fract() == 0.0).then_some(v as u32).ok_or(v)
        };
        let targets: Result<Vec<u32>, f64> = x[1].value().as_slice().iter().map(class).collect();
        let targets = targets.map_err(|v| {
            let reason = format!("{v} is no class among {classes}");
            let source = ShapeError::new("cross_entropy", reason, &[x[1].value().shape()]);
            LayerError { layer: layer.to_string(), source }
        })?;
        f.apply(ops::cross_entropy(targets.into(), self.smoothing), &[x[0]], &[], layer)
    }

    fn shape(&self, _pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        match x[0].rank() > 1 && x[0].rows() == x[1].len() {
            true => Ok(Shape::scalar()),
            false => Err(ShapeError::new("cross_entropy", "expects a class for each row of logits", x)),
        }
    }
}

/// What a step is, for those who look for patterns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// The same elements, or some of them, elsewhere.
    Moved,
    /// Weights in the second place, perhaps a bias in the third; `by_output` where the first axis of the weights counts outputs.
    Weighted { by_output: bool },
    /// Batch normalization of inputs x, γ, β.
    BatchNorm { slot: Option<StatisticsSlot>, eps: f64 },
    /// Another normalization of x, γ, β.
    Norm,
    /// max(x, 0).
    Relu,
    /// A sum of two.
    Add,
    /// A product of two.
    Multiply,
    /// Attention of queries, keys and values.
    Attention,
    /// A product of matrices in pairs.
    Product,
    /// Softmax over the last axis.
    Softmax,
    /// A multiple of each element, and perhaps a constant on top, or what leaves softmax as it is.
    Scaled,
    /// Each element on its own.
    Pointwise,
    /// Sums, means and the like over axes.
    Reduction,
    /// A constant, or a random one.
    Source,
    /// Anything else.
    Other,
}

/// One step.
pub(crate) struct Step {
    pub layer: Arc<str>,
    pub kind: Kind,
    pub inputs: Vec<Id>,
    /// The number of the value that it makes.
    pub output: usize,
    pub action: Box<dyn Action>,
}

/// An input of the network as it lies in memory.
#[derive(Debug, Clone)]
pub(crate) struct NetworkInput {
    pub name: String,
    pub sizes: Vec<Size>,
}

/// A network that was read from a file.
pub(crate) struct GraphModel {
    pub inputs: Vec<NetworkInput>,
    pub steps: Vec<Step>,
    /// By step, the values that nothing reads behind it.
    pub dead: Vec<Vec<usize>>,
    pub output: Id,
    /// How many values there are.
    pub values: usize,
    /// The only batch size that it takes.
    pub batch: Option<usize>,
    /// The slots of buffers that change in training, and their new values.
    pub changed: Vec<(usize, Id)>,
}

impl GraphModel {
    /// The shapes of all values for a batch of `batch` samples; `params` are those of the parameters.
    ///
    /// # Errors
    /// Naming the first layer whose shapes do not fit.
    pub fn shapes(&self, params: &[Shape], batch: usize) -> Result<Vec<Shape>, LayerError> {
        let pass = Pass { batch, state: &Shapes };
        let mut shapes: Vec<Shape> = self.inputs.iter().map(|input| pass.shape(&input.sizes)).collect();
        shapes.resize(self.values, Shape::scalar());
        for step in &self.steps {
            let of = |id: &Id| match *id {
                Id::Param(i) => params[i],
                Id::Value(i) => shapes[i],
            };
            let x: Vec<Shape> = step.inputs.iter().map(of).collect();
            let shape = Make::<f64>::shape(&*step.action, &pass, &x);
            shapes[step.output] =
                shape.map_err(|source| LayerError { layer: step.layer.to_string(), source })?;
        }
        Ok(shapes)
    }

    fn run<T: Element>(
        &self,
        f: &mut Forward<'_, T>,
        x: &Var<T>,
        make: impl Fn(&Step) -> &dyn Make<T>,
    ) -> Result<Var<T>, LayerError> {
        let given: Vec<Var<T>> = std::iter::once(x.clone()).chain(f.more_inputs.iter().cloned()).collect();
        let batch = x.value().shape().dims().first().copied().unwrap_or(1);
        self.check(&given.iter().map(|v| v.value().shape()).collect::<Vec<_>>(), batch)?;
        let fitted = |(x, input): (&Var<T>, &NetworkInput)| {
            let shape = Shape::new(&dims(&input.sizes, batch));
            if x.value().shape() == shape {
                return Ok(x.clone());
            }
            let named = |source| LayerError { layer: "input".into(), source };
            f.tape.apply(ops::reshape(shape), &[x], "input").map_err(named)
        };
        let given: Vec<Var<T>> = given.iter().zip(&self.inputs).map(fitted).collect::<Result<_, _>>()?;
        let mut values: Vec<Option<Var<T>>> = given.into_iter().map(Some).collect();
        values.resize(self.values, None);
        let read = |f: &Forward<'_, T>, values: &[Option<Var<T>>], id: Id| match id {
            Id::Param(i) => f.param(i).clone(),
            Id::Value(i) => values[i].clone().expect("a value that was made before"),
        };
        for (step, dead) in self.steps.iter().zip(&self.dead) {
            let x: Vec<Var<T>> = step.inputs.iter().map(|id| read(f, &values, *id)).collect();
            let y = make(step).run(f, batch, &x.iter().collect::<Vec<_>>(), &step.layer)?;
            values[step.output] = Some(y);
            dead.iter().for_each(|i| values[*i] = None);
        }
        if f.mode() == Mode::Train {
            for (slot, id) in &self.changed {
                let mean = read(f, &values, *id).value().to_f64();
                f.tape.note_statistics(Statistics { slot: *slot, mean, var: Vec::new() });
            }
        }
        Ok(read(f, &values, self.output))
    }

    /// Whether these are the inputs that the network takes. Axes of one entry do not matter: features come as images of one pixel.
    fn check(&self, given: &[Shape], batch: usize) -> Result<(), LayerError> {
        let fail = |reason: String| {
            let source = ShapeError::new("graph", reason, given);
            Err(LayerError { layer: "input".into(), source })
        };
        if let Some(fixed) = self.batch.filter(|fixed| *fixed != batch) {
            return fail(format!(
                "the network was exported for batches of {fixed} alone; export it with \
                 dynamic_shapes=({{0: torch.export.Dim('b', min=2, max=4096)}},)"
            ));
        }
        if given.len() != self.inputs.len() {
            return fail(format!("the network takes {} inputs", self.inputs.len()));
        }
        for (shape, input) in given.iter().zip(&self.inputs) {
            let wide = |dims: &[usize]| dims[1..].iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
            let wanted = dims(&input.sizes, batch);
            if shape.rank() == 0 || shape[0] != wanted[0] || wide(shape.dims()) != wide(&wanted) {
                return fail(format!("input '{}' is {}", input.name, shown(&input.sizes)));
            }
        }
        Ok(())
    }
}

impl Module<f32> for GraphModel {
    fn forward(&self, f: &mut Forward<'_, f32>, x: &Var<f32>) -> Result<Var<f32>, LayerError> {
        self.run(f, x, |step| &*step.action)
    }
}

impl Module<f64> for GraphModel {
    fn forward(&self, f: &mut Forward<'_, f64>, x: &Var<f64>) -> Result<Var<f64>, LayerError> {
        self.run(f, x, |step| &*step.action)
    }
}
