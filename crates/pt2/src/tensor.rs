//! Tensors of a file: the bytes, and which of them.

use std::fmt;
use std::sync::Arc;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Dtype {
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
    Bool,
    BF16,
    /// Another one, by its number in the file.
    Other(i64),
}

impl Dtype {
    /// The type that a number of the file stands for (`ScalarType` in torch/_export/serde/schema.py; the numbers are not those of c10).
    pub(crate) fn from_number(number: i64) -> Self {
        match number {
            1 => Self::U8,
            2 => Self::I8,
            3 => Self::I16,
            4 => Self::I32,
            5 => Self::I64,
            6 => Self::F16,
            7 => Self::F32,
            8 => Self::F64,
            12 => Self::Bool,
            13 => Self::BF16,
            other => Self::Other(other),
        }
    }

    /// Bytes of an element; none for types that nothing computes with.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::I16 | Self::F16 | Self::BF16 => Some(2),
            Self::I32 | Self::F32 => Some(4),
            Self::I64 | Self::F64 => Some(8),
            Self::Other(_) => None,
        }
    }
}

/// PyTorch's name of the type.
impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::Bool => "bool",
            Self::BF16 => "bfloat16",
            Self::Other(9) => "complex32",
            Self::Other(10) => "complex64",
            Self::Other(11) => "complex128",
            Self::Other(28) => "uint16",
            Self::Other(29) => "float8_e4m3fn",
            Self::Other(30) => "float8_e5m2",
            Self::Other(31) => "float8_e4m3fnuz",
            Self::Other(32) => "float8_e5m2fnuz",
            Self::Other(33) => "float8_e8m0fnu",
            Self::Other(34) => "uint32",
            Self::Other(35) => "uint64",
            Self::Other(number) => return write!(f, "number {number}"),
        })
    }
}

/// A tensor of the file. Two with the same [`Tensor::storage`], place, extents and steps are one tensor under two names: tied weights
/// ([`Tensor::same_as`]).
///
/// The reader gives only tensors whose elements all lie in [`Tensor::bytes`] and are of a type with a [`Dtype::size`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Steps in memory along each axis, in elements.
    pub strides: Vec<usize>,
    /// Where it begins in its bytes, in elements.
    pub offset: usize,
    /// The number of its bytes in the file; tensors that share it share memory.
    pub storage: usize,
    /// The bytes, little-endian.
    pub bytes: Arc<[u8]>,
    /// PyTorch's `requires_grad`: a parameter without it is not trained.
    pub requires_grad: bool,
}

impl Tensor {
    /// Its number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Whether the other one is the same tensor under another name: the same elements of the same memory.
    pub fn same_as(&self, other: &Self) -> bool {
        let view = |t: &Self| (t.dtype, t.offset, t.storage);
        view(self) == view(other)
            && (&self.shape, &self.strides) == (&other.shape, &other.strides)
            && Arc::ptr_eq(&self.bytes, &other.bytes)
    }

    /// Its elements in C order (the last axis runs fastest), whatever its strides. Truth values are 0 and 1; whole numbers beyond 2⁵³
    /// are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::U8 => self.collect(|b: [u8; 1]| b[0].into()),
            Dtype::I8 => self.collect(|b| i8::from_le_bytes(b).into()),
            Dtype::I16 => self.collect(|b| i16::from_le_bytes(b).into()),
            Dtype::I32 => self.collect(|b| i32::from_le_bytes(b).into()),
            Dtype::I64 => self.collect(|b| i64::from_le_bytes(b) as f64),
            Dtype::F16 => self.collect(|b| half::f16::from_le_bytes(b).into()),
            Dtype::BF16 => self.collect(|b| half::bf16::from_le_bytes(b).into()),
            Dtype::F32 => self.collect(|b| f32::from_le_bytes(b).into()),
            Dtype::F64 => self.collect(f64::from_le_bytes),
            Dtype::Bool => self.collect(|b: [u8; 1]| f64::from(u8::from(b[0] != 0))),
            Dtype::Other(_) => Vec::new(),
        }
    }

    fn collect<const SIZE: usize>(&self, value: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.len());
        if !self.is_empty() {
            let (elements, _) = self.bytes.as_chunks::<SIZE>();
            walk(&self.axes(), self.offset, &mut |begin, n, step| {
                values.extend((0..n).map(|i| value(elements[begin + i * step])));
            });
        }
        values
    }

    /// Extents and steps; axes that run through memory as one are one, and those of a single element are left out. So a contiguous
    /// tensor has one axis.
    fn axes(&self) -> Vec<(usize, usize)> {
        let mut axes: Vec<(usize, usize)> = Vec::new();
        for (&n, &step) in self.shape.iter().zip(&self.strides).filter(|(n, _)| **n != 1) {
            match axes.last_mut() {
                Some(outer) if step.checked_mul(n) == Some(outer.1) => *outer = (outer.0 * n, step),
                _ => axes.push((n, step)),
            }
        }
        axes
    }
}

/// Calls `row` for every row (first element, elements, step) in C order. It goes as deep as there are axes of two or more elements.
fn walk(axes: &[(usize, usize)], begin: usize, row: &mut impl FnMut(usize, usize, usize)) {
    match axes {
        [] => row(begin, 1, 1),
        [(n, step)] => row(begin, *n, *step),
        [(n, step), inner @ ..] => (0..*n).for_each(|i| walk(inner, begin + i * step, row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], strides: &[usize], offset: usize) -> Tensor {
        let bytes: Vec<u8> = (0..60u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        Tensor {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            offset,
            storage: 0,
            bytes: bytes.into(),
            requires_grad: false,
        }
    }

    #[test]
    fn elements_come_in_c_order_whatever_the_strides() {
        let cases: [(&[usize], &[usize], usize); 8] = [
            (&[3, 4], &[4, 1], 2),
            (&[3, 4], &[1, 3], 0),
            (&[2, 3, 4], &[1, 2, 6], 5),
            (&[2, 1, 3, 2], &[12, 77, 4, 2], 1),
            (&[4, 3], &[0, 2], 3),
            (&[], &[], 7),
            (&[2, 0, 3], &[3, 3, 1], 59),
            (&[2, 5], &[1, 1], 0),
        ];
        for (shape, strides, offset) in cases {
            let t = tensor(shape, strides, offset);
            let mut naive = Vec::new();
            for i in 0..t.len() {
                let (mut rest, mut at) = (i, offset);
                for (&n, &step) in shape.iter().zip(strides).rev() {
                    (rest, at) = (rest / n, at + rest % n * step);
                }
                naive.push(at as f64);
            }
            assert_eq!(t.to_f64(), naive, "{shape:?} {strides:?}");
        }
        assert_eq!(tensor(&[3, 4, 5], &[20, 5, 1], 0).axes(), [(60, 1)]);
    }

    #[test]
    fn every_type_has_its_values() {
        let read = |dtype, bytes: &[u8]| {
            let shape = vec![bytes.len() / Dtype::size(dtype).unwrap()];
            Tensor {
                dtype,
                shape,
                strides: vec![1],
                offset: 0,
                storage: 0,
                bytes: bytes.into(),
                requires_grad: false,
            }
            .to_f64()
        };
        assert_eq!(read(Dtype::U8, &[0, 255]), [0., 255.]);
        assert_eq!(read(Dtype::I8, &[1, 255]), [1., -1.]);
        assert_eq!(read(Dtype::I16, &(-2i16).to_le_bytes()), [-2.]);
        assert_eq!(read(Dtype::I32, &(1i32 << 30).to_le_bytes()), [f64::from(1 << 30)]);
        assert_eq!(read(Dtype::I64, &(-3i64).to_le_bytes()), [-3.]);
        assert_eq!(read(Dtype::F16, &[0x00, 0xc1]), [-2.5]);
        assert_eq!(read(Dtype::BF16, &[0x20, 0xc0]), [-2.5]);
        assert_eq!(read(Dtype::F32, &0.1f32.to_le_bytes()), [f64::from(0.1f32)]);
        assert_eq!(read(Dtype::F64, &0.1f64.to_le_bytes()), [0.1]);
        assert_eq!(read(Dtype::Bool, &[0, 1, 7]), [0., 1., 1.]);
    }
}
