//! The texts in an archive, as the schema of PyTorch writes them (torch/_export/serde/schema.py). Fields that nothing here reads are skipped, so
//! newer minor versions load.

use crate::error::{Problem, Shown};
use crate::program::{Argument, Extent, Module, Size, TensorMeta};
use crate::tensor::Dtype;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// Reads text of a type. An error tells where in it.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let (place, what) = (e.path().to_string(), e.inner().to_string());
        let place = if place == "." { String::new() } else { format!("{}: ", Shown(&place)) };
        Problem::Json(format!("{place}{}", Shown(&what)))
    })?;
    reader.end().map_err(|e| Problem::Json(Shown(&e.to_string()).to_string()))?;
    Ok(value)
}

/// What is read first: other versions may have other fields.
#[derive(Deserialize)]
pub struct Versions {
    pub schema_version: SchemaVersion,
    pub torch_version: Option<String>,
}

#[derive(Deserialize)]
pub struct SchemaVersion {
    pub major: u64,
    pub minor: u64,
}

#[derive(Deserialize)]
pub struct ExportedProgram {
    pub graph_module: GraphModule,
}

#[derive(Deserialize)]
pub struct GraphModule {
    pub graph: Graph,
    pub signature: Signature,
}

#[derive(Deserialize)]
pub struct Graph {
    pub inputs: Vec<Argument>,
    pub nodes: Vec<Node>,
    pub tensor_values: Unique<TensorMeta>,
}

#[derive(Deserialize)]
pub struct Node {
    pub target: String,
    pub inputs: Vec<NamedArgument>,
    pub outputs: Vec<Argument>,
    pub metadata: Metadata,
}

#[derive(Deserialize)]
pub struct NamedArgument {
    pub name: String,
    pub arg: Argument,
}

#[derive(Deserialize)]
pub struct Metadata {
    /// `key,path,class;key,path,class`, the outermost first.
    pub nn_module_stack: Option<String>,
}

impl Metadata {
    /// The modules that a node belongs to. Keys tell repeated calls apart; one of them marks a node that passes of PyTorch made.
    pub fn modules(&self) -> Result<Vec<Module>, Problem> {
        let text = self.nn_module_stack.as_deref().unwrap_or_default();
        let entries = || text.split(';').filter(|entry| !entry.is_empty());
        let mut modules = Vec::with_capacity(entries().count());
        for entry in entries() {
            let mut parts = entry.splitn(3, ',');
            let (Some(key), Some(path), Some(class)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(Problem::Modules(text.into()));
            };
            if key != "_empty_nn_module_stack_from_metadata_hook" {
                modules.push(Module { path: path.into(), class: class.into() });
            }
        }
        Ok(modules)
    }
}

#[derive(Deserialize)]
pub struct Signature {
    pub input_specs: Vec<InputSpec>,
    pub output_specs: Vec<OutputSpec>,
}

/// A thing with a name.
#[derive(Deserialize)]
pub struct Named {
    pub name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpec {
    Parameter { arg: Named, parameter_name: String },
    Buffer { arg: Named, buffer_name: String, persistent: bool },
    TensorConstant { arg: Named, tensor_constant_name: String },
    UserInput { arg: Argument },
    ConstantInput { name: String, value: Argument },
    CustomObj { arg: Named },
    Token { arg: Named },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSpec {
    UserOutput { arg: Argument },
    BufferMutation { arg: Named, buffer_name: String },
    LossOutput { arg: Named },
    ParameterMutation { arg: Named },
    GradientToParameter { arg: Named },
    GradientToUserInput { arg: Named },
    UserInputMutation { arg: Named },
    Token { arg: Named },
}

/// The list of tensors in a folder of `data/`.
#[derive(Deserialize)]
pub struct Payloads {
    pub config: Unique<Payload>,
}

#[derive(Deserialize)]
pub struct Payload {
    pub path_name: String,
    pub use_pickle: bool,
    pub tensor_meta: Option<StoredMeta>,
}

#[derive(Deserialize)]
pub struct StoredMeta {
    pub dtype: i64,
    pub sizes: Vec<Extent>,
    pub strides: Vec<Extent>,
    pub storage_offset: Extent,
    pub layout: i64,
    pub requires_grad: bool,
}

/// A table without two rows of one name, which Python would read as the last of them.
pub struct Unique<T>(pub BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Rows<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Rows<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Unique<T>, A::Error> {
                let mut rows = BTreeMap::new();
                while let Some((name, row)) = from.next_entry::<String, T>()? {
                    if rows.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` stands there twice")));
                    }
                    rows.insert(name, row);
                }
                Ok(Unique(rows))
            }
        }
        from.deserialize_map(Rows(PhantomData))
    }
}

/// An argument is an object with one field, whose name tells its kind.
impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Kind;
        impl<'de> Visitor<'de> for Kind {
            type Value = Argument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an argument: an object with one field")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Argument, A::Error> {
                let kind: String = from.next_key()?.ok_or_else(|| A::Error::custom("an empty argument"))?;
                let argument = match kind.as_str() {
                    "as_none" => from.next_value::<IgnoredAny>().map(|_| Argument::None)?,
                    "as_tensor" => Argument::Tensor(from.next_value::<Named>()?.name),
                    "as_tensors" => {
                        let names: Vec<Named> = from.next_value()?;
                        Argument::Tensors(names.into_iter().map(|n| Some(n.name)).collect())
                    }
                    "as_optional_tensor" => {
                        from.next_value::<Optional>()?.name().map_or(Argument::None, Argument::Tensor)
                    }
                    "as_optional_tensors" => {
                        let names: Vec<Optional> = from.next_value()?;
                        Argument::Tensors(names.into_iter().map(Optional::name).collect())
                    }
                    "as_int" => Argument::Int(from.next_value()?),
                    "as_ints" => Argument::Ints(from.next_value()?),
                    "as_float" => Argument::Float(from.next_value::<Float>()?.0),
                    "as_floats" => {
                        let values: Vec<Float> = from.next_value()?;
                        Argument::Floats(values.into_iter().map(|v| v.0).collect())
                    }
                    "as_bool" => Argument::Bool(from.next_value()?),
                    "as_bools" => Argument::Bools(from.next_value()?),
                    "as_string" => Argument::String(from.next_value()?),
                    "as_sym_int" => Argument::Size(from.next_value()?),
                    "as_sym_ints" => Argument::Sizes(from.next_value()?),
                    "as_scalar_type" => Argument::Dtype(Dtype::from_number(from.next_value()?)),
                    _ => from.next_value::<IgnoredAny>().map(|_| Argument::Other(kind))?,
                };
                match from.next_key::<String>()? {
                    None => Ok(argument),
                    Some(second) => {
                        Err(A::Error::custom(format!("an argument of two kinds, `{second}` is one")))
                    }
                }
            }
        }
        from.deserialize_map(Kind)
    }
}

/// A tensor that may be absent.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Optional {
    AsTensor(Named),
    AsNone(IgnoredAny),
}

impl Optional {
    fn name(self) -> Option<String> {
        match self {
            Self::AsTensor(tensor) => Some(tensor.name),
            Self::AsNone(_) => None,
        }
    }
}

/// A number. What JSON has no word for stands there as text.
struct Float(f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Float;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"Infinity\", \"-Infinity\" or \"NaN\"")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Float, E> {
                Ok(Float(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Float, E> {
                Ok(Float(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Float, E> {
                Ok(Float(value as f64))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Float, E> {
                match text {
                    "Infinity" => Ok(Float(f64::INFINITY)),
                    "-Infinity" => Ok(Float(f64::NEG_INFINITY)),
                    "NaN" => Ok(Float(f64::NAN)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(Number)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum SymInt {
            AsInt(i64),
            AsName(String),
        }
        Ok(match SymInt::deserialize(from)? {
            SymInt::AsInt(value) => Self::Fixed(value),
            SymInt::AsName(name) => Self::Named(name),
        })
    }
}

impl<'de> Deserialize<'de> for Extent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum SymInt {
            AsInt(i64),
            AsExpr { expr_str: String, hint: Option<Hint> },
        }
        /// Those of other kinds belong to no extent.
        #[derive(Deserialize)]
        struct Hint {
            as_int: Option<i64>,
        }
        Ok(match SymInt::deserialize(from)? {
            SymInt::AsInt(value) => Self::Fixed(value),
            SymInt::AsExpr { expr_str, hint } => {
                let example = hint.and_then(|hint| hint.as_int);
                Self::Symbolic { expression: plain(&expr_str), example }
            }
        })
    }
}

/// An expression without what it says of the kinds of its parts: `Mul(9, s77)` for `Mul(Integer(9), Symbol('s77', positive=True))`.
fn plain(expression: &str) -> String {
    let (mut rest, mut text) = (expression, String::new());
    while !rest.is_empty() {
        let part = |begin: &str, end: char, after: char| {
            let (name, more) = rest.strip_prefix(begin)?.split_once(end)?;
            Some((name, if end == after { more } else { more.split_once(after)?.1 }))
        };
        if let Some((name, more)) = part("Symbol('", '\'', ')').or_else(|| part("Integer(", ')', ')')) {
            text.push_str(name);
            rest = more;
        } else {
            let next = rest.char_indices().nth(1).map_or(rest.len(), |(i, _)| i);
            text.push_str(&rest[..next]);
            rest = &rest[next..];
        }
    }
    text
}

impl<'de> Deserialize<'de> for TensorMeta {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Meta {
            dtype: i64,
            sizes: Vec<Extent>,
            strides: Vec<Extent>,
        }
        let meta = Meta::deserialize(from)?;
        Ok(Self { dtype: Dtype::from_number(meta.dtype), sizes: meta.sizes, strides: meta.strides })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_words() {
        let read = |text: &str| parse::<Argument>(format!("{{\"as_float\": {text}}}").as_bytes());
        for (text, value) in [
            ("0.1", 0.1),
            ("-3", -3.0),
            ("18446744073709551615", 18446744073709551615.0),
            ("\"Infinity\"", f64::INFINITY),
            ("\"-Infinity\"", f64::NEG_INFINITY),
        ] {
            assert_eq!(read(text), Ok(Argument::Float(value)));
        }
        assert!(matches!(read("\"NaN\""), Ok(Argument::Float(value)) if value.is_nan()));
        assert!(read("\"nan\"").is_err());
    }

    #[test]
    fn expressions_lose_what_they_say_of_symbols() {
        for (long, short) in [
            ("Symbol('s77', positive=True, integer=True)", "s77"),
            ("Mul(Integer(9), Symbol('s77', positive=True, integer=True))", "Mul(9, s77)"),
            ("Min(Integer(-1), Mul(Rational(1, 2), Symbol('é')))", "Min(-1, Mul(Rational(1, 2), é))"),
            ("Symbol('s", "Symbol('s"),
            ("", ""),
        ] {
            assert_eq!(plain(long), short);
        }
    }
}
