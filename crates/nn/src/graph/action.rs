//! What steps do that no single op does: arrays that are known or stored, random masks, lookups, what differs between training and evaluation.

use super::size::{Size, dims};
use super::step::{Apply, Make, Pass};
use crate::{Forward, LayerError, Mode};
use sph_autodiff::{Op, Var, ops};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::sync::Arc;

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
        Apply(&self.0).run(f, batch, x, layer)
    }

    fn shape(&self, pass: &Pass<'_>, x: &[Shape]) -> Result<Shape, ShapeError> {
        Make::<T>::shape(&Apply(&self.0), pass, x)
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
