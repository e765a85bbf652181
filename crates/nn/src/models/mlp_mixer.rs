//! MLP-Mixer (Tolstikhin et al. 2021); timm's names.

use crate::layers::{FeedForward, Linear, PatchEmbed};
use crate::models::ModelConfig;
use crate::{Builder, Forward, LayerError, Model, Module, Real};
use sph_autodiff::{Var, ops};
use sph_tensor::Shape;

/// The sizes of a mixer.
#[derive(Debug, Clone, Copy)]
pub struct MixerSize {
    /// Pixels along the side of a patch.
    pub patch: usize,
    /// Channels of a token.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
}

struct Block {
    layer: String,
    norm1: Box<dyn Model>,
    tokens: FeedForward,
    norm2: Box<dyn Model>,
    channels: FeedForward,
}

struct Mixer {
    stem: PatchEmbed,
    blocks: Vec<Block>,
    norm: Box<dyn Model>,
    head: Linear,
}

/// Patches, `depth` blocks (an MLP of dim/2 across tokens, then one of 4·dim across channels, each behind a norm and beside a
/// shortcut), a norm, the mean over tokens and the classifier.
///
/// # Panics
/// When `config.norm` does not normalize tokens.
pub fn mlp_mixer(b: &mut Builder, config: &ModelConfig, size: &MixerSize) -> Box<dyn Model> {
    let MixerSize { patch, dim, depth } = *size;
    let tokens = PatchEmbed::tokens(config.image_size, patch);
    let stem = PatchEmbed::new(b, "stem.proj", (config.in_channels, dim), patch, config.decouple);
    let blocks = (0..depth)
        .map(|i| {
            let layer = format!("blocks.{i}");
            let norm1 = config.token_norm(b, &format!("{layer}.norm1"), dim);
            let across = FeedForward::new(b, config, &format!("{layer}.mlp_tokens"), tokens, dim / 2);
            // This bias adds one number to all channels of a token, which LayerNorm removes.
            across.bias().into_iter().for_each(|bias| b.mark_flat(bias));
            let norm2 = config.token_norm(b, &format!("{layer}.norm2"), dim);
            let channels = FeedForward::new(b, config, &format!("{layer}.mlp_channels"), dim, 4 * dim);
            Block { layer, norm1, tokens: across, norm2, channels }
        })
        .collect();
    let norm = config.token_norm(b, "norm", dim);
    let head = Linear::transformer(b, "head", (dim, config.classes), config.decouple).into_head(b);
    Box::new(Mixer { stem, blocks, norm, head })
}

impl<T: Real> Module<T> for Block {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = T::module(&*self.norm1).forward(f, x)?;
        let y = f.apply(ops::permute(&[0, 2, 1]), &[&y], &[], &self.layer)?;
        let y = self.tokens.forward(f, &y)?;
        let y = f.apply(ops::permute(&[0, 2, 1]), &[&y], &[], &self.layer)?;
        let x = f.apply(ops::add(), &[x, &y], &[], &self.layer)?;
        let y = T::module(&*self.norm2).forward(f, &x)?;
        let y = self.channels.forward(f, &y)?;
        f.apply(ops::add(), &[&x, &y], &[], &self.layer)
    }
}

impl<T: Real> Module<T> for Mixer {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = self.stem.forward(f, x)?;
        for block in &self.blocks {
            x = block.forward(f, &x)?;
        }
        let x = T::module(&*self.norm).forward(f, &x)?;
        let &[n, tokens, dim] = x.value().shape().dims() else { unreachable!("tokens have three axes") };
        let x = f.apply(ops::reshape(Shape::new(&[n, tokens, 1, dim])), &[&x], &[], "pool")?;
        let x = f.apply(ops::global_avg_pool(), &[&x], &[], "pool")?;
        self.head.forward(f, &x)
    }
}
