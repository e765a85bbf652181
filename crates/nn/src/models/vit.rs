//! Vision transformer (Dosovitskiy et al. 2021), pre-norm, with a class token; timm's names.

use crate::layers::{Attention, Dropout, FeedForward, Linear, PatchEmbed};
use crate::models::ModelConfig;
use crate::{Builder, Forward, Init, LayerError, Model, Module, Real, Role};
use sph_autodiff::{Var, ops};
use sph_tensor::Shape;

/// The sizes of a vision transformer.
#[derive(Debug, Clone, Copy)]
pub struct VitSize {
    /// Pixels along the side of a patch.
    pub patch: usize,
    /// Channels of a token.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads; divides `dim`.
    pub heads: usize,
}

struct Block {
    layer: String,
    norm1: Box<dyn Model>,
    attn: Attention,
    norm2: Box<dyn Model>,
    mlp: FeedForward,
}

struct Vit {
    cls_token: usize,
    pos_embed: usize,
    patches: PatchEmbed,
    dropout: Dropout,
    blocks: Vec<Block>,
    norm: Box<dyn Model>,
    head: Linear,
}

/// Patches and a class token with learned positions, `depth` blocks (attention, then an MLP of 4·dim, each behind a norm and
/// beside a shortcut), a norm, and the classifier on the class token.
///
/// # Panics
/// When `config.norm` does not normalize tokens.
pub fn vit(b: &mut Builder, config: &ModelConfig, size: &VitSize) -> Box<dyn Model> {
    let VitSize { patch, dim, depth, heads } = *size;
    let tokens = PatchEmbed::tokens(config.image_size, patch);
    let cls_token = b.param("cls_token".into(), &[1, 1, dim], Role::Embedding, Init::Normal(1e-6));
    let positions = [1, tokens + 1, dim];
    let pos_embed = b.param("pos_embed".into(), &positions, Role::Embedding, Init::Normal(0.02));
    let patches = PatchEmbed::new(b, "patch_embed.proj", (config.in_channels, dim), patch, config.decouple);
    let dropout = Dropout::new(b, "pos_drop", config.dropout);
    let blocks = (0..depth)
        .map(|i| {
            let layer = format!("blocks.{i}");
            let norm1 = config.token_norm(b, &format!("{layer}.norm1"), dim);
            let attn = Attention::new(b, config, &format!("{layer}.attn"), dim, heads);
            let norm2 = config.token_norm(b, &format!("{layer}.norm2"), dim);
            let mlp = FeedForward::new(b, config, &format!("{layer}.mlp"), dim, 4 * dim);
            Block { layer, norm1, attn, norm2, mlp }
        })
        .collect();
    let norm = config.token_norm(b, "norm", dim);
    let head = Linear::transformer(b, "head", (dim, config.classes), config.decouple).into_head(b);
    Box::new(Vit { cls_token, pos_embed, patches, dropout, blocks, norm, head })
}

impl<T: Real> Module<T> for Block {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = T::module(&*self.norm1).forward(f, x)?;
        let y = self.attn.forward(f, &y)?;
        let x = f.apply(ops::add(), &[x, &y], &[], &self.layer)?;
        let y = T::module(&*self.norm2).forward(f, &x)?;
        let y = self.mlp.forward(f, &y)?;
        f.apply(ops::add(), &[&x, &y], &[], &self.layer)
    }
}

impl<T: Real> Module<T> for Vit {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let x = self.patches.forward(f, x)?;
        let &[n, tokens, dim] = x.value().shape().dims() else { unreachable!("tokens have three axes") };
        // A place for the class token in front; with its position it is what is added there.
        let x = f.apply(ops::pad(1, 1, 0), &[&x], &[], "cls_token")?;
        let cls = f.param(self.cls_token).clone();
        let cls = f.apply(ops::pad(1, 0, tokens), &[&cls], &[], "cls_token")?;
        let positions = f.apply(ops::add(), &[&cls], &[self.pos_embed], "pos_embed")?;
        let x = f.apply(ops::bias(), &[&x, &positions], &[], "pos_embed")?;
        let mut x = self.dropout.forward(f, &x)?;
        for block in &self.blocks {
            x = block.forward(f, &x)?;
        }
        // Only the class token is read, and norms act on each token alone.
        let x = f.apply(ops::slice(1, 0..1), &[&x], &[], "norm")?;
        let x = f.apply(ops::reshape(Shape::new(&[n, dim])), &[&x], &[], "norm")?;
        let x = T::module(&*self.norm).forward(f, &x)?;
        self.head.forward(f, &x)
    }
}
