//! The steps of an imported network, and how they run.

use super::size::{Size, dims, shown};
use crate::statistics::StatisticsSlot;
use crate::{Forward, LayerError, Mode, Module};
use sph_autodiff::{Op, Statistics, Var, ops};
use sph_tensor::{Element, Rng, Shape, ShapeError};
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
