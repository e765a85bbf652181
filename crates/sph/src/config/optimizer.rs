//! Settings of the optimizer.

use super::group::{GroupArgs, overrides};
use super::values::{
    Betas, below_one, betas, count, fraction, names, not_negative, positive, row, selection,
};
use crate::error::{Error, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use sph_nn::losses::Loss;
use sph_nn::{ParamSpec, Real, Selection, Store};
use sph_optim::Optimizer;
use sph_optim::curvature::SCHEDULE_KINDS;
use sph_optim::curvature::estimator::Averaging;
use sph_optim::curvature::probes::PROBES;
use sph_optim::curvature::rectifiers::RECTIFIERS;
use sph_optim::presets::{
    AdaHessian, Adam, AdamW, FirstOrder, Kfac, Krylov, PRESETS, PresetRow, Sgd, SphDrs,
};
use sph_optim::transforms::{Backtrack, CLIP_MODES, ClipGradient, ClipMode, DrsConfig};

/// Rates of adaptation: of Newton steps, and of Adam; and their ratio (a division would not round to it), the scale of Newton steps that
/// have Adam's rate.
const NEWTON_IN_ADAPTATION: f64 = 0.65;
const ADAMW_IN_ADAPTATION: f64 = 0.026;
const TAU_BESIDE_ADAMW_IN_ADAPTATION: f64 = 25.0;

/// The optimizer and its settings. A setting that the chosen optimizer does not have is an error.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Optimizer")]
pub struct OptArgs {
    /// Optimizer.
    #[arg(long, default_value = "sph", value_parser = optimizer_names())]
    pub opt: String,
    /// Named settings of sph: `seed` is the ancestor's step to the letter.
    #[arg(long, value_parser = names([("seed", "the ancestor's step to the letter")].into_iter()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Parameters that are trained: all, 1d (norms, biases, magnitudes), norm, scale, shift, magnitude, bias, second-order, head, or patterns of names
    /// such as 'layer4.*,fc.*'. The others are frozen: no gradient of theirs is computed.
    #[arg(long, default_value = "all", value_parser = selection, value_name = "WHICH")]
    pub trainable: String,
    /// Learning rate [default: 0.1, with --norm none 0.01, but not with --preset seed; adam, adamw, --first-order adamw: 0.001; adahessian: 0.15; kfac: 0.01].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Momentum of sph (of its blocks, where others have adamw), sgd and kfac, and of krylov's other parameters [default: 0.9].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Nesterov momentum (sgd).
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Weight decay on weights [default: 0.0005; adam: 0; adamw, --first-order adamw: 0.05; preset seed: 0].
    #[arg(long, value_parser = not_negative)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Weight decay on 1-D parameters [default: 0; preset seed: that of weights].
    #[arg(long = "weight-decay-1d", value_parser = not_negative)]
    #[serde(rename = "weight-decay-1d", skip_serializing_if = "Option::is_none")]
    pub weight_decay_1d: Option<f64>,
    /// Clip the gradient, before momentum; not curvature, nor the step that it scales [default: no clipping].
    #[arg(long, value_parser = positive, value_name = "LIMIT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_grad: Option<f64>,
    /// What --clip-grad bounds [default: norm].
    #[arg(long, value_parser = names(CLIP_MODES.iter().map(|m| (m.0, m.2))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_mode: Option<String>,
    /// Halve a step while it raises the loss of its own batch, at most so often; each look is a forward pass [default: 0, no look].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=32), value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backtrack: Option<u32>,
    /// Decays of the averages of adam, adamw (of sph's, too) and adahessian, two numbers [default: 0.9,0.999].
    #[arg(long, value_parser = betas, value_name = "B1,B2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_betas: Option<Betas>,
    /// Guard of the division in adam, adamw [default: 1e-8] and adahessian [default: 1e-4].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_eps: Option<f64>,
    /// Scale τ of sph's direction on 1-D blocks [default: 0.01; --first-order adamw: 0.1; preset seed: 0.001].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// Damping ε of sph and krylov, inside the rectifier [default: 0.001; preset seed: 0.0001; krylov: 0.1].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Decay β of sph's curvature average [default: 0.9].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature_decay: Option<f64>,
    /// What sph averages: signed curvature or its absolute value [default: signed; preset seed: absolute].
    #[arg(long, value_parser = names([("signed", "unbiased probes stay unbiased"), ("absolute", "the ancestor's choice")].into_iter()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<String>,
    /// Probe sequence of sph [default: ones].
    #[arg(long, value_parser = names(PROBES.iter().map(|p| (p.name, p.about))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Which blocks sph visits at which step [default: cyclic].
    #[arg(long, value_parser = names(SCHEDULE_KINDS.iter().map(|s| (s.0, s.2))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature_schedule: Option<String>,
    /// Ask for curvature at each n-th step only (sph, adahessian) [default: 1].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature_every: Option<usize>,
    /// Take curvature on this part of each batch only, from 0 to 1 (sph, krylov, adahessian); cheaper below about 0.3 [default: 1].
    #[arg(long, value_parser = fraction, value_name = "FRACTION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature_batch: Option<f64>,
    /// Cap of sph's multiplier τ/rectified [default: none; with --norm none 1, but not with --preset seed or --first-order adamw].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_multiplier: Option<f64>,
    /// How sph makes curvature positive [default: absolute].
    #[arg(long, value_parser = names(RECTIFIERS.iter().map(|r| (r.name, r.about))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rectifier: Option<String>,
    /// Second-order blocks of sph and krylov, in the words and patterns of --trainable [default: norms, and what is decoupled].
    #[arg(long, value_parser = selection, value_name = "WHICH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_order: Option<String>,
    /// What sph does with the other parameters [default: sgd; sph train of transformers and mixers: adamw].
    #[arg(long, value_parser = names([("sgd", "momentum SGD"), ("adamw", "AdamW; what transformers want"), ("drs", "dimension-reduced second-order steps; want large batches")].into_iter()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_order: Option<String>,
    /// Steps between measurements of drs's model [default: 10].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drs_refresh: Option<usize>,
    /// Products with the joint Hessian of all blocks per step of krylov: the dimension of its space [default: 10].
    #[arg(long, value_parser = count, value_name = "M")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub krylov_size: Option<usize>,
    /// Largest length of krylov's direction, before the learning rate [default: 3].
    #[arg(long, value_parser = positive, value_name = "LENGTH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_radius: Option<f64>,
    /// Hessian power k of adahessian, greater than 0 and at most 1 [default: 1].
    #[arg(long, value_parser = fraction)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hessian_power: Option<f64>,
    /// Tikhonov damping λ of kfac [default: 0.03].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
    /// Decay of the averages of kfac's factors [default: 0.95].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor_decay: Option<f64>,
    /// Steps between measurements of kfac's factors [default: 10].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor_every: Option<usize>,
    /// Steps between inversions of kfac's factors [default: 10].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inverse_every: Option<usize>,
    /// Settings of parameters named as in --trainable, such as 'head: lr-mult=10, weight-decay=0, momentum=0.8'; may be given again. In a
    /// file: `[[group]]` tables with params and these keys.
    #[arg(long, value_name = "GROUP")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<GroupArgs>,
}

/// The parser of optimizers.
pub(crate) fn optimizer_names() -> PossibleValuesParser {
    names(PRESETS.iter().map(|p| (p.name, p.about)))
}

/// The parser of the optimizers that `sph adapt` takes: all but kfac, which is about weights.
pub(super) fn adapt_optimizers() -> PossibleValuesParser {
    names(PRESETS.iter().filter(|p| p.name != "kfac").map(|p| (p.name, p.about)))
}

/// Whether a setting is the optimizer's: others are of the data, the model and how long it is trained.
pub(crate) fn is_of_optimizer(name: &str) -> bool {
    let command = OptArgs::augment_args(clap::Command::new("optimizer"));
    command.get_arguments().any(|a| a.get_long() == Some(name))
}

impl OptArgs {
    /// The settings that adaptation takes where none are given: for sph Newton's step as it is (τ = 1) from curvature of every block at every
    /// step, instead of a small correction of SGD's; for krylov a small space; for both a look at where a step leads.
    /// Rates and damping are values that served all settings of studies/adapt-digits.toml and adapt-fashion-mlp.toml best or next to it
    /// (docs/results.md); a tenth of the rates without labels, and for sph ten times the damping. A named preset stays what it is.
    #[must_use]
    pub fn for_adaptation(mut self, loss: Loss) -> Self {
        if self.preset.is_some() {
            return self;
        }
        let lr = match &*self.opt {
            "sph" if self.beside_adamw() => ADAMW_IN_ADAPTATION,
            "sph" | "krylov" => NEWTON_IN_ADAPTATION,
            "adam" | "adamw" => ADAMW_IN_ADAPTATION,
            "sgd" => 0.45,
            _ => 0.1,
        };
        self.lr.get_or_insert(if loss == Loss::Entropy { 0.1 * lr } else { lr });
        if self.is_newton() {
            // Small curvature means less yet where no label says which way.
            let wary = self.opt == "sph" && loss == Loss::Entropy;
            self.eps.get_or_insert(if wary { 0.42 } else { 0.042 });
            // drs takes steps back by itself.
            if self.first_order.as_deref() != Some("drs") {
                self.backtrack.get_or_insert(4);
            }
        }
        if self.opt == "sph" {
            self.momentum.get_or_insert(0.0);
            // Newton's step has the same length beside either.
            let tau = if self.beside_adamw() { TAU_BESIDE_ADAMW_IN_ADAPTATION } else { 1.0 };
            self.tau.get_or_insert(tau);
            let probe = self.probe.get_or_insert("rademacher".into());
            let joint = PROBES.iter().any(|p| p.name == *probe && p.joint);
            self.curvature_schedule.get_or_insert(if joint { "joint" } else { "all" }.into());
        }
        if self.opt == "krylov" {
            self.krylov_size.get_or_insert(5);
            // Far away is where it goes in few steps; backtracking guards it.
            self.trust_radius.get_or_insert(20.0);
        }
        self
    }

    /// The part of each batch of `images` that adaptation takes curvature on: what is given, or for krylov a quarter of it, but from 8 to 32
    /// images. What more of them tell is not worth their time (docs/adapt.md); a few there must be, for BatchNorm, too.
    pub fn curvature_fraction_in_adaptation(&self, images: usize) -> f64 {
        let of = |n: f64| n / images as f64;
        let default = if self.opt == "krylov" { of(32.0).min(0.25).max(of(8.0)).min(1.0) } else { 1.0 };
        self.curvature_batch.unwrap_or(default)
    }

    /// Whether adaptation gives it Newton steps, which the ancestor's, small corrections of SGD's, are not.
    pub(super) fn is_newton(&self) -> bool {
        ["sph", "krylov"].contains(&&*self.opt) && self.preset.is_none()
    }

    /// With the settings that suit the model, where none are given: without norms nothing holds large steps back, and weights of transformers
    /// and mixers (`tokens`) want AdamW (docs/results.md). A named preset stays what it is.
    ///
    /// # Errors
    /// When the optimizer is unknown.
    pub fn for_training(mut self, tokens: bool, norm: &str) -> Result<Self> {
        if tokens && self.opt == "sph" && self.preset.is_none() {
            self.first_order.get_or_insert("adamw".into());
        }
        if norm == "none" { self.without_norms() } else { Ok(self) }
    }

    /// Whether its steps want curvature of images.
    pub(crate) fn takes_curvature(&self) -> bool {
        ["sph", "krylov", "adahessian"].contains(&&*self.opt)
    }

    /// With a tenth of the default rate where weights take SGD's steps, and no block of sph's moved further than SGD would move it; a named
    /// preset stays what it is.
    fn without_norms(mut self) -> Result<Self> {
        if self.preset.is_some() {
            return Ok(self);
        }
        let takes_sgd_steps = ["sgd", "sph", "krylov"].contains(&&*self.opt) && !self.beside_adamw();
        if self.lr.is_none() && takes_sgd_steps {
            self.lr = Some(self.lr()? / 10.0);
        }
        if self.opt == "sph" && !self.beside_adamw() {
            self.max_multiplier.get_or_insert(1.0);
        }
        Ok(self)
    }

    /// Whether sph leaves the other parameters to AdamW.
    fn beside_adamw(&self) -> bool {
        self.first_order.as_deref() == Some("adamw")
    }

    /// The row of the optimizer that weights get, whose rate and decay are the defaults.
    fn preset_row(&self) -> Result<&'static PresetRow> {
        row(PRESETS, |p| p.name, if self.beside_adamw() { "adamw" } else { &self.opt })
    }

    /// The learning rate: the one given or the optimizer's usual one.
    ///
    /// # Errors
    /// When the optimizer is unknown.
    pub fn lr(&self) -> Result<f64> {
        Ok(self.lr.unwrap_or(self.preset_row()?.lr))
    }

    /// Checks that every setting given belongs to the optimizer.
    ///
    /// # Errors
    /// Naming the first that does not.
    pub fn validate(&self) -> Result<()> {
        let averages: &[&str] = &["adam", "adamw", "adahessian", "sph"];
        let given: [(&str, bool, &[&str]); 25] = [
            ("curvature-schedule", self.curvature_schedule.is_some(), &["sph"]),
            ("curvature-every", self.curvature_every.is_some(), &["sph", "adahessian"]),
            ("curvature-batch", self.curvature_batch.is_some(), &["sph", "krylov", "adahessian"]),
            ("max-multiplier", self.max_multiplier.is_some(), &["sph"]),
            ("preset", self.preset.is_some(), &["sph"]),
            ("momentum", self.momentum.is_some(), &["sph", "krylov", "sgd", "kfac"]),
            ("nesterov", self.nesterov.is_some(), &["sgd"]),
            ("opt-betas", self.opt_betas.is_some(), averages),
            ("opt-eps", self.opt_eps.is_some(), averages),
            ("tau", self.tau.is_some(), &["sph"]),
            ("eps", self.eps.is_some(), &["sph", "krylov"]),
            ("curvature-decay", self.curvature_decay.is_some(), &["sph"]),
            ("average", self.average.is_some(), &["sph"]),
            ("probe", self.probe.is_some(), &["sph"]),
            ("rectifier", self.rectifier.is_some(), &["sph"]),
            ("second-order", self.second_order.is_some(), &["sph", "krylov"]),
            ("first-order", self.first_order.is_some(), &["sph"]),
            ("drs-refresh", self.drs_refresh.is_some(), &["sph"]),
            ("krylov-size", self.krylov_size.is_some(), &["krylov"]),
            ("trust-radius", self.trust_radius.is_some(), &["krylov"]),
            ("hessian-power", self.hessian_power.is_some(), &["adahessian"]),
            ("damping", self.damping.is_some(), &["kfac"]),
            ("factor-decay", self.factor_decay.is_some(), &["kfac"]),
            ("factor-every", self.factor_every.is_some(), &["kfac"]),
            ("inverse-every", self.inverse_every.is_some(), &["kfac"]),
        ];
        if let Some((flag, _, of)) = given.iter().find(|(_, given, of)| *given && !of.contains(&&*self.opt)) {
            let of = of.join(" and ");
            return Err(Error::Config(format!(
                "--{flag} is a setting of --opt {of}, not of --opt {}",
                self.opt
            )));
        }
        if self.preset.is_some() && self.curvature_decay.is_some() {
            return Err(Error::Config(
                "--preset seed averages curvature with --momentum; leave --curvature-decay out".into(),
            ));
        }
        if self.opt == "sph" && !self.beside_adamw() && (self.opt_betas.is_some() || self.opt_eps.is_some()) {
            return Err(Error::Config(
                "--opt-betas and --opt-eps need --first-order adamw with --opt sph".into(),
            ));
        }
        let drs = self.first_order.as_deref() == Some("drs");
        if self.drs_refresh.is_some() && !drs {
            return Err(Error::Config("--drs-refresh needs --first-order drs".into()));
        }
        if !["sph", "krylov", "sgd", "kfac"].contains(&&*self.opt)
            && self.group.iter().any(|g| g.momentum.is_some())
        {
            return Err(Error::Config(format!(
                "--group: momentum is a setting of --opt sph and krylov and sgd and kfac, not of --opt {}",
                self.opt
            )));
        }
        if drs && self.group.iter().any(|g| g.momentum.is_some()) {
            return Err(Error::Config("--group: --first-order drs has no momentum; leave it out".into()));
        }
        if self.clip_mode.is_some() && self.clip_grad.is_none() {
            return Err(Error::Config("--clip-mode needs --clip-grad".into()));
        }
        if self.clip_grad.is_some() && drs {
            return Err(Error::Config(
                "--first-order drs models the loss by its gradient as it is; leave --clip-grad out".into(),
            ));
        }
        if self.backtrack.is_some_and(|n| n > 0) && drs {
            return Err(Error::Config(
                "--first-order drs takes steps back by itself; leave --backtrack out".into(),
            ));
        }
        if self.preset.is_some() && self.first_order.as_deref().is_some_and(|f| f != "sgd") {
            return Err(Error::Config(
                "--preset seed is SGD on the other parameters; leave --first-order out".into(),
            ));
        }
        Ok(())
    }

    /// Checks what depends on which parameters take first-order steps.
    fn validate_on(&self, specs: &[ParamSpec]) -> Result<()> {
        let blocks = self.blocks(specs)?;
        let takes_first_order = |&i: &usize| !specs[i].frozen && !blocks.contains(&i);
        if self.first_order.as_deref() == Some("drs") && !(0..specs.len()).any(|i| takes_first_order(&i)) {
            return Err(Error::Config(
                "--first-order drs has nothing to do: all that is trained are second-order blocks; leave it out, or train more \
                 with --trainable"
                    .into(),
            ));
        }
        if self.beside_adamw() {
            for group in self.group.iter().filter(|g| g.momentum.is_some()) {
                if let Some(i) = group.chosen(specs)?.into_iter().find(takes_first_order) {
                    return Err(Error::Config(format!(
                        "--group '{}': '{}' takes AdamW's steps, which have no momentum; name second-order blocks, or take \
                         --first-order sgd",
                        group.params, specs[i].name
                    )));
                }
            }
        }
        Ok(())
    }

    /// Freezes what `--trainable` does not name.
    ///
    /// # Errors
    /// When a part of it names no parameter of the model.
    pub fn freeze<T: Real>(&self, store: &mut Store<T>) -> Result<()> {
        let fail = |e: sph_nn::SelectionError| Error::Config(format!("--trainable {}: {e}", self.trainable));
        let selection: Selection = self.trainable.parse().map_err(fail)?;
        selection.select(store.specs(), |_| true).map_err(fail)?;
        store.freeze(|s| !selection.matches(s));
        Ok(())
    }

    /// Betas and eps: those given, or these.
    fn averages(&self, betas: (f64, f64), eps: f64) -> ((f64, f64), f64) {
        (self.opt_betas.map_or(betas, |b| (b.0, b.1)), self.opt_eps.unwrap_or(eps))
    }

    /// The second-order blocks among `specs`; none for optimizers without.
    ///
    /// # Errors
    /// When `--second-order` chooses none.
    pub fn blocks(&self, specs: &[ParamSpec]) -> Result<Vec<usize>> {
        match &*self.opt {
            "sph" => self.sph(0)?.chosen(specs).map_err(|e| Error::Config(e.to_string())),
            "krylov" => self.krylov()?.chosen(specs).map_err(|e| Error::Config(e.to_string())),
            _ => Ok(Vec::new()),
        }
    }

    fn selection(&self) -> Result<Option<Selection>> {
        let selection = self.second_order.as_deref().map(str::parse).transpose();
        selection.map_err(|e| Error::Config(format!("--second-order: {e}")))
    }

    /// The settings of krylov.
    fn krylov(&self) -> Result<Krylov> {
        let d = Krylov::default();
        Ok(Krylov {
            size: self.krylov_size.unwrap_or(d.size),
            eps: self.eps.unwrap_or(d.eps),
            trust_radius: self.trust_radius.or(d.trust_radius),
            weight_decay_1d: self.weight_decay_1d.unwrap_or(0.0),
            momentum: self.momentum.unwrap_or(d.momentum),
            weight_decay: self.weight_decay.unwrap_or(self.preset_row()?.weight_decay),
            selection: self.selection()?,
        })
    }

    /// The settings of sph.
    fn sph(&self, seed: u64) -> Result<SphDrs> {
        let weight_decay = self.weight_decay.unwrap_or(self.preset_row()?.weight_decay);
        let weight_decay_1d = self.weight_decay_1d.unwrap_or(0.0);
        let momentum = self.momentum.unwrap_or(0.9);
        let d = if self.preset.is_some() {
            // One weight decay, none by default.
            let decay = self.weight_decay.unwrap_or(0.0);
            let decay_1d = self.weight_decay_1d.unwrap_or(decay);
            SphDrs { weight_decay: decay, weight_decay_1d: decay_1d, ..SphDrs::seed() }
        } else {
            SphDrs { weight_decay, weight_decay_1d, ..SphDrs::default() }
        };
        let averaging = match self.average.as_deref() {
            Some("signed") => Averaging::Signed,
            Some(_) => Averaging::Absolute,
            None => d.averaging,
        };
        let probe = self.probe.as_deref().map_or(Ok(d.probe), |n| row(PROBES, |p| p.name, n))?;
        let rectifier =
            self.rectifier.as_deref().map_or(Ok(d.rectifier), |n| row(RECTIFIERS, |r| r.name, n))?;
        let schedule = match self.curvature_schedule.as_deref() {
            Some(name) => row(SCHEDULE_KINDS, |s| s.0, name)?.1,
            None => d.schedule,
        };
        let selection = self.selection()?;
        let first_order = match self.first_order.as_deref() {
            Some("adamw") => {
                let d = AdamW::default();
                let (betas, eps) = self.averages(d.betas, d.eps);
                FirstOrder::AdamW(AdamW { betas, eps, ..d })
            }
            Some("drs") => {
                let d = DrsConfig::default();
                let refresh = self.drs_refresh.map_or(d.refresh, |n| n as u64);
                FirstOrder::Drs(DrsConfig { refresh, ..d })
            }
            _ => FirstOrder::Sgd,
        };
        Ok(SphDrs {
            selection,
            first_order,
            momentum,
            tau: self.tau.unwrap_or(if self.beside_adamw() { SphDrs::TAU_WITH_ADAMW } else { d.tau }),
            eps: self.eps.unwrap_or(d.eps),
            curvature_decay: self.curvature_decay.unwrap_or(d.curvature_decay),
            averaging,
            probe,
            rectifier,
            schedule,
            every: self.curvature_every.unwrap_or(1) as u64,
            max_multiplier: self.max_multiplier,
            seed,
            ..d
        })
    }

    /// The optimizer over `specs`; `seed` is that of random probes and labels.
    ///
    /// # Errors
    /// As [`OptArgs::validate`].
    pub fn build<T: Real>(&self, specs: &[ParamSpec], seed: u64) -> Result<Optimizer<T>> {
        self.validate()?;
        self.validate_on(specs)?;
        let optimizer = self.unclipped(specs, seed)?.with_overrides(overrides(&self.group, specs)?);
        let optimizer = match self.backtrack.filter(|n| *n > 0) {
            Some(halvings) => optimizer.followed_by("backtrack", Box::new(Backtrack { halvings })),
            None => optimizer,
        };
        let Some(limit) = self.clip_grad else { return Ok(optimizer) };
        let mode = match &self.clip_mode {
            Some(name) => row(CLIP_MODES, |m| m.0, name)?.1,
            None => ClipMode::Norm,
        };
        Ok(optimizer.preceded_by("clip", Box::new(ClipGradient { mode, limit })))
    }

    fn unclipped<T: Real>(&self, specs: &[ParamSpec], seed: u64) -> Result<Optimizer<T>> {
        let weight_decay = self.weight_decay.unwrap_or(self.preset_row()?.weight_decay);
        let weight_decay_1d = self.weight_decay_1d.unwrap_or(0.0);
        let momentum = self.momentum.unwrap_or(0.9);
        Ok(match &*self.opt {
            "sgd" => {
                let nesterov = self.nesterov.unwrap_or(false);
                Sgd { momentum, nesterov, weight_decay, weight_decay_1d }.build(specs)
            }
            "adam" => {
                let d = Adam::default();
                let (betas, eps) = self.averages(d.betas, d.eps);
                Adam { betas, eps, weight_decay, weight_decay_1d }.build(specs)
            }
            "adamw" => {
                let d = AdamW::default();
                let (betas, eps) = self.averages(d.betas, d.eps);
                AdamW { betas, eps, weight_decay, weight_decay_1d }.build(specs)
            }
            "adahessian" => {
                let d = AdaHessian::default();
                let (betas, eps) = self.averages(d.betas, d.eps);
                let power = self.hessian_power.unwrap_or(d.power);
                let every = self.curvature_every.unwrap_or(1) as u64;
                AdaHessian { betas, eps, power, every, weight_decay, weight_decay_1d, seed }.build(specs)
            }
            "kfac" => {
                let d = Kfac::default();
                let steps = |given: Option<usize>, default: u64| given.map_or(default, |n| n as u64);
                Kfac {
                    momentum,
                    weight_decay,
                    weight_decay_1d,
                    damping: self.damping.unwrap_or(d.damping),
                    factor_decay: self.factor_decay.unwrap_or(d.factor_decay),
                    factor_every: steps(self.factor_every, d.factor_every),
                    inverse_every: steps(self.inverse_every, d.inverse_every),
                    seed,
                }
                .build(specs)
            }
            "krylov" => self.krylov()?.build(specs).map_err(|e| Error::Config(e.to_string()))?,
            "sph" => self.sph(seed)?.build(specs).map_err(|e| Error::Config(e.to_string()))?,
            other => {
                return Err(Error::Config(format!("--opt {other} is in the table but has no settings here")));
            }
        })
    }
}
