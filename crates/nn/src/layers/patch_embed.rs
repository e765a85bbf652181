//! Images to tokens: a linear map of every patch.

use super::{Conv2d, Followed, Geometry};
use crate::{Builder, Forward, Init, LayerError, Module};
use sph_autodiff::{Var, ops};
use sph_tensor::{Element, Shape, ShapeError};

/// `X.weight` (dim×in×p×p), `X.bias`: one token per patch of p×p pixels, rows of patches from the top.
#[derive(Debug)]
pub struct PatchEmbed {
    layer: String,
    conv: Conv2d,
    patch: usize,
}

impl PatchEmbed {
    /// A layer named `layer`.
    pub fn new(
        b: &mut Builder,
        layer: &str,
        (input, dim): (usize, usize),
        patch: usize,
        decouple: bool,
    ) -> Self {
        let followed = Followed::ByOther { decouple };
        // PyTorch's default for convolutions.
        let init = Init::Uniform(1.0 / ((input * patch * patch) as f64).sqrt());
        let geometry = Geometry { k: patch, stride: patch, pad: 0, groups: 1 };
        let conv = Conv2d::with_init(b, layer, (input, dim), geometry, followed, [init.clone(), init]);
        PatchEmbed { layer: layer.to_string(), conv, patch }
    }

    /// The number of whole patches of an image of this size; `forward` refuses images that are not made of whole patches.
    pub fn tokens((h, w): (usize, usize), patch: usize) -> usize {
        (h / patch) * (w / patch)
    }
}

impl<T: Element> Module<T> for PatchEmbed {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let (shape, p) = (x.value().shape(), self.patch);
        if shape.rank() != 4 || shape[1] % p != 0 || shape[2] % p != 0 {
            let reason = format!("height and width must be multiples of {p}; --image-size makes them so");
            let source = ShapeError::new("patch_embed", reason, &[shape]);
            return Err(LayerError { layer: self.layer.clone(), source });
        }
        let y = self.conv.forward(f, x)?;
        let &[n, h, w, dim] = y.value().shape().dims() else {
            unreachable!("a convolution's output has four axes")
        };
        f.apply(ops::reshape(Shape::new(&[n, h * w, dim])), &[&y], &[], &self.layer)
    }
}
