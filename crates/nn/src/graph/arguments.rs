//! The arguments of an operation as values of the network.

use super::call::Call;
use super::constant::{Constant, Kind as Numbers};
use super::error::Result;
use super::layout::Tensor;
use super::lowering::{Lowering, Source, Value};
use super::size::Size;
use sph_pt2::Argument;

impl Lowering<'_> {
    /// The buffer that an argument is, where it is one as a whole.
    pub fn buffer(&self, call: &Call<'_>, name: &'static str) -> Result<Option<String>> {
        let Some(argument) = call.argument(name) else { return Ok(None) };
        let Argument::Tensor(tensor) = argument else { return Err(Call::unexpected(name, argument)) };
        let binding = self.names.get(tensor).ok_or_else(|| format!("'{tensor}' is not known"))?;
        match &self.storages[binding.storage].source {
            Source::Buffer(buffer) if binding.views.is_empty() => Ok(Some(buffer.clone())),
            _ => Err(format!("argument '{name}' is no buffer of the network")),
        }
    }

    /// The value of an argument, where it is there.
    pub fn optional(&mut self, call: &Call<'_>, name: &'static str) -> Result<Option<Value>> {
        match call.argument(name) {
            None => Ok(None),
            Some(Argument::Tensor(tensor) | Argument::Size(sph_pt2::Size::Named(tensor))) => {
                self.value_of(tensor).map(Some)
            }
            Some(argument) => {
                literal(argument).map(|c| Some(c.into())).ok_or_else(|| Call::unexpected(name, argument))
            }
        }
    }

    /// The value of an argument.
    pub fn value(&mut self, call: &Call<'_>, name: &'static str) -> Result<Value> {
        self.optional(call, name)?.ok_or_else(|| format!("argument '{name}' is missing"))
    }

    /// An argument as a value that is computed.
    pub fn tensor(&mut self, call: &Call<'_>, name: &'static str) -> Result<Tensor> {
        let value = self.value(call, name)?;
        self.as_tensor(&value)
    }

    /// An argument as a value that is computed, where it is there.
    pub fn optional_tensor(&mut self, call: &Call<'_>, name: &'static str) -> Result<Option<Tensor>> {
        match self.optional(call, name)? {
            Some(value) => self.as_tensor(&value).map(Some),
            None => Ok(None),
        }
    }

    /// The tensors of a list.
    pub fn list(&mut self, call: &Call<'_>, name: &'static str) -> Result<Vec<Value>> {
        match call.argument(name) {
            Some(Argument::Tensors(names)) => {
                let each = |n: &Option<String>| match n {
                    Some(n) => self.value_of(n),
                    None => Err(format!("argument '{name}' has gaps")),
                };
                names.iter().map(each).collect()
            }
            Some(other) => Err(Call::unexpected(name, other)),
            None => Err(format!("argument '{name}' is missing")),
        }
    }

    /// Extents; `None` where one follows from the others (PyTorch's −1).
    pub fn sizes(&mut self, call: &Call<'_>, name: &'static str) -> Result<Vec<Option<Size>>> {
        let fixed = |v: i64| match v {
            -1 => Ok(None),
            v => usize::try_from(v).map(|v| Some(Size::fixed(v))).map_err(|_| format!("an extent of {v}")),
        };
        match call.argument(name) {
            Some(Argument::Ints(values)) => values.iter().map(|v| fixed(*v)).collect(),
            Some(Argument::Tensors(values)) if values.is_empty() => Ok(Vec::new()),
            Some(Argument::Int(v)) => Ok(vec![fixed(*v)?]),
            Some(Argument::Sizes(values)) => {
                let each = |s: &sph_pt2::Size| match s {
                    sph_pt2::Size::Fixed(v) => fixed(*v),
                    sph_pt2::Size::Named(name) => self.named_size(name).map(Some),
                };
                values.iter().map(each).collect()
            }
            Some(other) => Err(Call::unexpected(name, other)),
            None => Err(format!("argument '{name}' is missing")),
        }
    }

    /// A whole number that a node made.
    pub fn named_size(&mut self, name: &str) -> Result<Size> {
        match self.value_of(name)? {
            Value::Size(size) => Ok(size),
            _ => Err(format!("'{name}' is no whole number")),
        }
    }

    /// A whole number among the arguments, which may depend on the batch size.
    pub fn size(&mut self, call: &Call<'_>, name: &'static str) -> Result<Size> {
        let value = self.value(call, name)?;
        let whole =
            |v: f64| (v >= 0.0 && v.fract() == 0.0 && v < 2f64.powi(31)).then_some(Size::fixed(v as usize));
        match &value {
            Value::Size(size) => Ok(*size),
            Value::Constant(c) => {
                c.single().and_then(whole).ok_or_else(|| format!("argument '{name}' is no extent"))
            }
            Value::Tensor(_) => Err(format!("argument '{name}' is no whole number")),
        }
    }
}

/// A number that stands in the graph itself.
pub(super) fn literal(argument: &Argument) -> Option<Constant> {
    match argument {
        Argument::Int(v) | Argument::Size(sph_pt2::Size::Fixed(v)) => {
            Some(Constant::scalar(Numbers::Int, *v as f64))
        }
        Argument::Float(v) => Some(Constant::scalar(Numbers::Float, *v)),
        Argument::Bool(v) => Some(Constant::scalar(Numbers::Bool, f64::from(u8::from(*v)))),
        _ => None,
    }
}
