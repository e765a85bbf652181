//! A network's mini-batch loss as a [`Curvature`]: the tape's side of the optimizer's trait.

use sph_autodiff::ops::probabilities;
use sph_autodiff::sweep::{self, NotKept};
use sph_autodiff::{NotOneLayer, OpCost, Statistics, Tape, Var};
use sph_data::{Answers, Batch, IGNORED, Values};
use sph_nn::losses::{self, Loss, Targets};
use sph_nn::{Forward, LayerError, Mode, Network, NormStatistics, ParamSpec, Probes, Real, Store};
use sph_optim::curvature::{Factors, FisherLabels, Parts};
use sph_optim::{Answer, Curvature, Directions, EvalError, Request, Sweep};
use sph_tensor::kernels::map::all_finite;
use sph_tensor::{Array, Pool, Rng, ShapeError};
use std::time::{Duration, Instant};

/// The loss of one network on the batch at hand, with its parameters.
///
/// ```
/// use sph_train::{Batch, Objective};
/// use sph_nn::models::{self, ModelConfig};
/// use sph_optim::{Curvature, Rule, presets::SphDrs};
/// use sph_tensor::{Array, Pool, Shape};
///
/// let config = ModelConfig::new(1, (8, 8), 3);
/// let network = models::build("mlp", &config).unwrap();
/// let pool = Pool::<f32>::new();
/// let mut objective = Objective::new(network, &pool, 0);
/// let images = Array::from_slice(&pool, Shape::new(&[2, 8, 8, 1]), &vec![0.5; 128]);
/// objective.set_batch(Batch::new(images, vec![0, 2]));
/// let mut optimizer = SphDrs::default().build(objective.params()).unwrap();
/// let report = optimizer.step(&mut objective, 0.1).unwrap();
/// assert!(report.curvature && report.loss.is_finite());
/// ```
pub struct Objective<T: Real> {
    network: Network,
    /// Parameters and running statistics.
    pub store: Store<T>,
    pool: Pool<T>,
    /// Label smoothing of the training loss, at least 0 and less than 1.
    pub smoothing: f64,
    /// The part of each batch that products with the Hessian are taken on, greater than 0 and at most 1: the first images of it, rounded
    /// up to a whole number. Training shuffles, so they are a random sample; batch norm takes their own statistics. Less than 1 costs a
    /// pass of its own over that part, and pays below about a third.
    pub curvature_fraction: f64,
    /// What is minimised; evaluation is by [`Loss::of_evaluation`].
    pub loss: Loss,
    /// Training or evaluation.
    pub mode: Mode,
    seed: u64,
    /// Batches set so far; by their numbers layers draw their masks.
    pub draw: u64,
    /// The parts of the batch at hand; most often one.
    parts: Vec<Batch<T>>,
    /// The part that the loss is taken on.
    part: usize,
    /// By part, of its last evaluation.
    logits: Vec<Option<Array<T>>>,
    /// The batch statistics of that evaluation, which the running statistics take in when the point moves.
    statistics: Vec<Vec<Statistics>>,
    kept: Option<(Tape<T>, Vec<Var<T>>)>,
    evaluation_time: Duration,
    /// What ops cost, while it is measured.
    costs: Option<Vec<OpCost>>,
}

/// A pass that was recorded: itself, its loss, its logits.
pub(crate) type Pass<'a, T> = (Forward<'a, T>, Var<T>, Var<T>);

fn other(e: impl std::error::Error + Send + Sync + 'static) -> EvalError {
    EvalError::Other(Box::new(e))
}

/// The first parameter or buffer that is not finite.
pub(crate) fn non_finite_state<T: Real>(store: &Store<T>) -> Option<String> {
    let param = store.values.iter().position(|v| !all_finite(v.as_slice()));
    let param = param.map(|i| format!("parameter '{}'", store.specs()[i].name));
    let buffer = || store.buffers.iter().position(|v| !all_finite(v));
    param.or_else(|| buffer().map(|i| format!("buffer '{}'", store.buffer_specs()[i].name)))
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(&'static str);

#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is frozen: its rows of products with the Hessian are not kept; ask for them with the gradient, or train it"
)]
struct Frozen(String);

#[derive(Debug, thiserror::Error)]
#[error(
    "kfac: the Fisher matrix is of a distribution over classes, which `loss` {0} does not have; take another optimizer"
)]
struct NoFisher(&'static str);

#[derive(Debug, thiserror::Error)]
#[error("kfac: '{weight}' {source}; freeze it, or take another optimizer")]
struct NoFactors {
    weight: String,
    source: NotOneLayer,
}

impl<T: Real> Objective<T> {
    /// The network with initial values drawn from `seed`, in training mode.
    pub fn new(network: Network, pool: &Pool<T>, seed: u64) -> Self {
        let store = Store::init(&network, pool, seed);
        Objective {
            network,
            store,
            pool: pool.clone(),
            smoothing: 0.0,
            curvature_fraction: 1.0,
            loss: Loss::CrossEntropy,
            mode: Mode::Train,
            seed,
            draw: 0,
            parts: Vec::new(),
            part: 0,
            logits: Vec::new(),
            statistics: Vec::new(),
            kept: None,
            evaluation_time: Duration::ZERO,
            costs: None,
        }
    }

    /// Of how many images of a batch of `images` (at least one) products with the Hessian are taken.
    pub fn curved(&self, images: usize) -> usize {
        // 8 / n of n are 8, whatever rounding says.
        ((self.curvature_fraction * images as f64 - 1e-9).ceil() as usize).max(1).min(images)
    }

    /// The pool that buffers come from.
    pub fn pool(&self) -> &Pool<T> {
        &self.pool
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Sets the batch that the loss is taken on; masks of dropout are drawn anew for it.
    pub fn set_batch(&mut self, batch: Batch<T>) {
        self.set_parts(vec![batch]);
    }

    /// Sets a batch in parts, for [`sph_optim::curvature::Accumulate`]; the loss is that of the first until another one is selected.
    pub fn set_parts(&mut self, parts: Vec<Batch<T>>) {
        self.draw += parts.len() as u64;
        self.logits = vec![None; parts.len()];
        self.statistics = vec![Vec::new(); parts.len()];
        (self.parts, self.part) = (parts, 0);
    }

    /// The network's output in the last evaluation of the part at hand: logits [N, classes], where there are classes.
    pub fn logits(&self) -> Option<&Array<T>> {
        self.logits.get(self.part)?.as_ref()
    }

    /// The parts that were evaluated, with their logits.
    pub fn evaluated(&self) -> impl Iterator<Item = (&Batch<T>, &Array<T>)> {
        self.parts.iter().zip(&self.logits).filter_map(|(batch, logits)| Some((batch, logits.as_ref()?)))
    }

    /// Loss and output (logits, where there are classes) of `batch` without derivatives or side effects, in evaluation mode. Label smoothing
    /// is a matter of training: the loss is that of evaluation without it, comparable between runs.
    ///
    /// # Errors
    /// When the batch does not fit the network.
    pub fn evaluate_on(&self, batch: &Batch<T>) -> Result<(f64, Array<T>), LayerError> {
        self.evaluate_with(&self.store, batch)
    }

    /// [`Objective::evaluate_on`] with other values of the network's parameters and buffers.
    ///
    /// # Errors
    /// When the batch does not fit the network.
    pub fn evaluate_with(&self, store: &Store<T>, batch: &Batch<T>) -> Result<(f64, Array<T>), LayerError> {
        let f = Forward::new(store, &self.pool, Mode::Eval);
        let (_, loss, logits) = self.run(f, batch, self.loss.of_evaluation(), 0.0)?;
        Ok((scalar(&loss), logits.value().clone()))
    }

    /// The network's values with running statistics that are means over these batches' own, at the parameters as they are, in the norms
    /// that take the batch's by `which`. The objective does not change. Without batches, or without such norms, the values are the
    /// network's.
    ///
    /// # Errors
    /// When a batch does not fit the network.
    pub fn recalibrated(
        &self,
        which: NormStatistics,
        batches: impl Iterator<Item = Batch<T>>,
    ) -> Result<Store<T>, LayerError> {
        let mut store = self.store.clone();
        let mut at = self.store.clone();
        at.norm_statistics = which;
        for (number, batch) in (1..).zip(batches) {
            let mut f = Forward::new(&at, &self.pool, Mode::Train);
            self.forward(&mut f, &batch)?;
            store.average(&f.tape.take_statistics(), number);
        }
        Ok(store)
    }

    /// An evaluation pass for the inputs of `batch`, recorded, with its output: what export and counting read. Parameters are the first
    /// leaves, in the order of the store; the inputs are the next.
    ///
    /// # Errors
    /// When the inputs do not fit the network.
    pub fn recorded_on(&self, batch: &Batch<T>) -> Result<(Tape<T>, Var<T>), LayerError> {
        let mut f = Forward::new(&self.store, &self.pool, Mode::Eval);
        let logits = self.forward(&mut f, batch)?;
        Ok((f.into_parts().0, logits))
    }

    /// How long the last [`Curvature::evaluate`] took.
    pub fn evaluation_time(&self) -> Duration {
        self.evaluation_time
    }

    /// What the ops cost in the evaluations that `look` makes, in the order of their forward passes. Products after a gradient (of
    /// several sweeps, or on a kept tape) are not in it.
    pub fn measured<R>(&mut self, look: impl FnOnce(&mut Self) -> R) -> (R, Vec<OpCost>) {
        self.costs = Some(Vec::new());
        let seen = look(self);
        (seen, self.costs.take().unwrap_or_default())
    }

    /// How long the gradient alone takes on the batch at hand; leaves no trace.
    ///
    /// # Errors
    /// As [`Curvature::evaluate`].
    pub fn time_gradient(&mut self) -> Result<Duration, EvalError> {
        let trained = |i: &usize| !self.store.specs()[*i].frozen;
        let gradient = (0..self.store.values.len()).filter(trained).collect();
        let want = Request { gradient, ..Request::default() };
        self.undisturbed(|f| {
            f.evaluate(&want, &mut Answer::default())?;
            Ok(f.evaluation_time)
        })
    }

    /// Lets `look` evaluate the loss, then puts what is remembered of the last evaluation (logits, batch statistics, its time) back as
    /// it was and drops what was kept: looking changes nothing.
    ///
    /// ```
    /// use sph_optim::Curvature;
    /// use sph_optim::analysis::{AnalysisError, Hessian, trace};
    ///
    /// fn block_traces(f: &mut sph_train::Objective<f32>, blocks: &[usize]) -> Result<Vec<f64>, AnalysisError> {
    ///     f.undisturbed(|f| {
    ///         let mut hessian = Hessian::new(f, blocks)?;
    ///         blocks.iter().map(|&b| trace::exact(&mut hessian.on(&[b])?)).collect()
    ///     })
    /// }
    /// ```
    pub fn undisturbed<R>(&mut self, look: impl FnOnce(&mut Self) -> R) -> R {
        let (logits, statistics) = (self.logits.clone(), self.statistics.clone());
        let time = self.evaluation_time;
        let seen = look(self);
        (self.logits, self.statistics, self.evaluation_time) = (logits, statistics, time);
        self.kept = None;
        seen
    }

    /// The first layer, in the order of computation, whose output on `batch` at the values of `store` is not finite; a parameter or buffer
    /// that is not finite is named before that.
    pub fn first_non_finite(&self, store: &Store<T>, batch: &Batch<T>, mode: Mode) -> Option<String> {
        if let Some(state) = non_finite_state(store) {
            return Some(state);
        }
        if !all_finite(batch.images.as_slice()) {
            return Some("the input images".into());
        }
        let mut f = Forward::new(store, &self.pool, mode);
        f.tape.watch_finite();
        let (f, _, _) = self.run(f, batch, self.loss, self.smoothing).ok()?;
        f.tape.first_non_finite().map(|layer| format!("layer '{layer}'"))
    }

    /// The batch at hand.
    pub fn current_batch(&self) -> Option<&Batch<T>> {
        self.parts.get(self.part)
    }

    /// The network's output for the inputs of `batch`, recorded on `f`.
    fn forward(&self, f: &mut Forward<'_, T>, batch: &Batch<T>) -> Result<Var<T>, LayerError> {
        let number = (self.draw + self.part as u64 + 1).saturating_sub(self.parts.len() as u64);
        f.draw = (self.seed, number);
        let images = f.tape.constant(batch.images.clone());
        f.more_inputs = batch.more.iter().map(|input| f.tape.constant(input.clone())).collect();
        T::module(&*self.network.model).forward(f, &images)
    }

    fn run<'a>(
        &self,
        mut f: Forward<'a, T>,
        batch: &Batch<T>,
        loss: Loss,
        smoothing: f64,
    ) -> Result<Pass<'a, T>, LayerError> {
        let logits = self.forward(&mut f, batch)?;
        let value = match (loss, &batch.targets) {
            (Loss::CrossEntropy, Answers::Classes(targets)) => {
                losses::cross_entropy(&mut f, &logits, targets.clone(), smoothing)?
            }
            (Loss::Mse, Answers::Values(Values { shape, values })) => {
                losses::mse(&mut f, &logits, values.clone(), shape)?
            }
            (Loss::Bce, Answers::Values(Values { shape, values })) => {
                losses::bce(&mut f, &logits, values.clone(), shape)?
            }
            (Loss::Graph, _) => losses::graph(&mut f, &logits)?,
            (Loss::Entropy, _) => losses::entropy(&mut f, &logits)?,
            (Loss::CrossEntropy | Loss::Mse | Loss::Bce, _) => {
                let reason = match loss {
                    Loss::CrossEntropy => "the batch has no classes to be answered",
                    _ => "the batch has no numbers to be answered",
                };
                let source = ShapeError::new(loss.name(), reason, &[logits.value().shape()]);
                return Err(LayerError { layer: "loss".into(), source });
            }
        };
        Ok((f, value, logits))
    }

    /// The training loss of the batch at hand, recorded on `f`.
    pub(crate) fn record<'a>(&self, f: Forward<'a, T>) -> Result<Pass<'a, T>, EvalError> {
        self.run(f, self.batch()?, self.loss, self.smoothing).map_err(other)
    }

    /// One forward pass over `batch` with tangents where the request has probes, one backward pass that carries adjoints and
    /// adjoint-tangents together (docs/algorithm.md §3). Returns the logits and the batch statistics.
    fn pass(
        &mut self,
        batch: &Batch<T>,
        want: &Request<T>,
        out: &mut Answer<T>,
    ) -> Result<(Array<T>, Vec<Statistics>), EvalError> {
        let n = self.store.values.len();
        let mut grad = vec![false; n];
        want.gradient.iter().for_each(|&i| grad[i] = true);
        // One sweep is carried with the gradient; several follow it, on what is kept.
        let keep = want.keep || want.sweeps.len() > 1;
        let carried = want.sweeps.first().filter(|_| !keep);
        let mut tape = match carried {
            _ if keep => Tape::keeping(&self.pool),
            sweep => Tape::new(&self.pool, sweep.map_or(1, |s| s.tangents.probes())),
        };
        if self.costs.is_some() {
            tape.measure();
        }
        let rows = |i: usize| want.sweeps.iter().any(|s| s.rows.contains(&i));
        let f = Forward::on(tape, &self.store, self.mode, |i| Probes {
            dot: carried.and_then(|s| s.tangents.get(i).cloned()),
            // What is kept can be asked for the rows of every trained parameter, and of others that are named beforehand.
            grad: grad[i] || (keep && (!self.store.specs()[i].frozen || rows(i))),
            hvp: carried.is_some_and(|s| s.rows.contains(&i)),
        });
        let (f, loss, logits) = self.run(f, batch, self.loss, self.smoothing).map_err(other)?;
        out.loss = scalar(&loss);
        let (mut tape, leaves) = f.into_parts();
        let mut adjoints = tape.backward(&loss);
        out.gradient = leaves.iter().zip(&grad).map(|(l, &g)| adjoints.take_grad(l).filter(|_| g)).collect();
        out.products.clear();
        let statistics = tape.take_statistics();
        if let Some(costs) = &mut self.costs {
            costs.extend(tape.take_costs());
        }
        if let Some(sweep) = carried {
            let mut products = Directions::default();
            for &i in &sweep.rows {
                if let Some(product) = adjoints.take_hvp(&leaves[i]) {
                    products.insert(i, product);
                }
            }
            out.products.push(products);
        } else if keep {
            self.kept = Some((tape, leaves));
            for sweep in &want.sweeps {
                let mut products = Directions::default();
                self.hvp(sweep, &mut products)?;
                out.products.push(products);
            }
            if !want.keep {
                self.kept = None;
            }
        }
        Ok((logits.value().clone(), statistics))
    }

    pub(crate) fn batch(&self) -> Result<&Batch<T>, EvalError> {
        self.current_batch().ok_or_else(|| other(Misuse("no batch was set")))
    }
}

fn scalar<T: Real>(loss: &Var<T>) -> f64 {
    loss.value().as_slice()[0].to_f64()
}

/// A class for every row of logits, drawn from their softmax, but where `given` is ignored. Row i is row `first` + i of the batch, and draws
/// from its stream.
fn sample<T: Real>(logits: &Array<T>, given: &Targets, first: usize, seed: u64, draw: u64) -> Targets {
    let classes = logits.shape().last();
    let one = |(i, row): (usize, &[T])| {
        if given.get(i) == Some(&IGNORED) {
            return IGNORED;
        }
        let mut p = vec![0.0; classes];
        probabilities(row, &mut p);
        let mut rest = Rng::new(seed, "fisher", draw, (first + i) as u64).uniform();
        let chosen = p.iter().position(|p| {
            rest -= p;
            rest < 0.0
        });
        chosen.unwrap_or(classes - 1) as u32
    };
    logits.as_slice().chunks_exact(classes).enumerate().map(one).collect()
}

impl<T: Real> Curvature<T> for Objective<T> {
    fn params(&self) -> &[ParamSpec] {
        self.store.specs()
    }

    fn values(&self) -> &[Array<T>] {
        &self.store.values
    }

    /// One pass, or two where [`Objective::curvature_fraction`] is less than 1.
    fn evaluate(&mut self, want: &Request<T>, out: &mut Answer<T>) -> Result<(), EvalError> {
        let start = Instant::now();
        self.kept = None;
        let batch = self.batch()?.clone();
        let curved = want.keep || !want.sweeps.is_empty();
        let sampled = self.curved(batch.len());
        let (logits, statistics) = if curved && sampled < batch.len() {
            let gradient = Request { gradient: want.gradient.clone(), ..Request::default() };
            let passed = self.pass(&batch, &gradient, out)?;
            let curvature = Request { gradient: Vec::new(), ..want.clone() };
            let mut on_sample = Answer::default();
            self.pass(&batch.first(sampled), &curvature, &mut on_sample)?;
            out.products = on_sample.products;
            passed
        } else {
            self.pass(&batch, want, out)?
        };
        self.logits[self.part] = Some(logits);
        self.statistics[self.part] = statistics;
        self.evaluation_time = start.elapsed();
        Ok(())
    }

    fn hvp(&mut self, sweep: &Sweep<T>, out: &mut Directions<T>) -> Result<(), EvalError> {
        let Some((tape, leaves)) = &mut self.kept else {
            return Err(other(Misuse(
                "a product after the gradient needs an evaluation that was asked to keep",
            )));
        };
        let tangents: Vec<_> = sweep.tangents.iter().map(|(i, v)| (&leaves[i], v.clone())).collect();
        let wrt: Vec<_> = sweep.rows.iter().map(|&i| &leaves[i]).collect();
        out.clear();
        let named = |e: NotKept| match e {
            NotKept::Row(row) => other(Frozen(self.store.specs()[sweep.rows[row]].name.clone())),
            e => other(e),
        };
        for (&i, product) in sweep.rows.iter().zip(sweep::hvp(tape, &tangents, &wrt).map_err(named)?) {
            if let Some(product) = product {
                out.insert(i, product);
            }
        }
        Ok(())
    }

    fn loss_at(&mut self, step: &Directions<T>) -> Result<f64, EvalError> {
        let mut moved = self.store.clone();
        for (i, step) in step.iter() {
            let step = step.reshape(moved.values[i].shape());
            moved.values[i].accumulate(&step);
        }
        let f = Forward::new(&moved, &self.pool, self.mode);
        let (_, loss, _) = self.record(f)?;
        Ok(scalar(&loss))
    }

    fn kronecker_factors(
        &mut self,
        layers: &[(usize, Option<usize>)],
        labels: &FisherLabels,
    ) -> Result<Vec<Option<Factors<T>>>, EvalError> {
        // Labels are drawn from the network's own distribution over classes.
        let of_classes = self.batch()?.targets.classes().filter(|_| self.loss.has_classes()).cloned();
        let given = of_classes.ok_or_else(|| other(NoFisher(self.loss.name())))?;
        let wanted = |i: usize| layers.iter().any(|(w, _)| *w == i);
        let mut f = Forward::on(Tape::keeping(&self.pool), &self.store, self.mode, |i| Probes {
            dot: None,
            grad: wanted(i),
            hvp: false,
        });
        let batch = self.batch()?;
        let logits = self.forward(&mut f, batch).map_err(other)?;
        let rows = |batch: &Batch<T>| batch.targets.classes().map_or(0, |classes| classes.len());
        let first = self.parts[..self.part].iter().map(rows).sum();
        let targets = match labels {
            FisherLabels::Given(targets) => targets[first..].iter().copied().take(given.len()).collect(),
            FisherLabels::Sampled { seed, draw } => sample(logits.value(), &given, first, *seed, *draw),
        };
        // Factors are those of a mean over samples; of tokens each is an example of its own.
        let per_sample = T::from_f64(batch.counted() as f64 / batch.len() as f64);
        let loss = losses::cross_entropy(&mut f, &logits, targets, 0.0).map_err(other)?;
        let (mut tape, leaves) = f.into_parts();
        tape.backward(&loss);
        let factors = |&(w, bias): &(usize, Option<usize>)| {
            let named = |source| NoFactors { weight: self.store.specs()[w].name.clone(), source };
            let found = tape.kronecker_factors(&leaves[w], bias.map(|b| &leaves[b])).map_err(named)?;
            // An average would never forget what is not finite.
            let finite = |[a, g]: &[Array<T>; 2]| all_finite(a.as_slice()) && all_finite(g.as_slice());
            Ok(found.filter(finite).map(|[a, mut g]| {
                if per_sample != T::ONE {
                    g.make_mut().iter_mut().for_each(|g| *g *= per_sample);
                }
                Factors { a, g }
            }))
        };
        layers.iter().map(factors).collect::<Result<_, NoFactors>>().map_err(other)
    }

    /// In training mode the running statistics move, too: by what the parts at hand showed where they were last evaluated.
    fn apply(&mut self, updates: &[Option<Array<T>>]) {
        self.statistics.iter_mut().for_each(|of_part| self.store.track(&std::mem::take(of_part)));
        // A kept tape shares the parameters' buffers and speaks of the old point.
        self.kept = None;
        for (value, update) in self.store.values.iter_mut().zip(updates) {
            if let Some(update) = update {
                value.accumulate(update);
            }
        }
    }
}

impl<T: Real> Parts<T> for Objective<T> {
    fn weights(&self) -> Vec<f64> {
        let total: usize = self.parts.iter().map(Batch::counted).sum();
        self.parts.iter().map(|p| p.counted() as f64 / total as f64).collect()
    }

    fn select(&mut self, part: usize) {
        (self.part, self.kept) = (part, None);
    }

    fn product(&mut self, sweep: &Sweep<T>, out: &mut Directions<T>) -> Result<(), EvalError> {
        let want = Request { sweeps: vec![sweep.clone()], ..Request::default() };
        let mut answer = Answer::default();
        self.undisturbed(|f| f.evaluate(&want, &mut answer))?;
        *out = answer.products.pop().unwrap_or_default();
        Ok(())
    }
}
