//! CPU kernels on slices.
//!
//! Every kernel that runs in parallel splits its work by shape alone and combines parts in order, so 1, 2 or
//! 4 threads give the same bits. Kernels trust their callers (the ops) on shapes and panic on a mismatch.
//!
//! | file | what |
//! |---|---|
//! | `broadcast` | element-wise loops over arrays that broadcast, and sums over axes |
//! | `choice` | which kernels may run |
//! | `dot` | inner products of slices |
//! | `isa` | instruction sets: vectors, and which set is in force |
//! | `table` | which kernels an instruction set has |
//! | `tile` | register tiles, which products and convolutions are made of |
//! | `gemm` | matrix product on strided views |
//! | `conv` | 2-D convolution and its two adjoints, NHWC |
//! | `window` | gathering and scattering of sliding windows |
//! | `layout` | permuting axes, copying along one axis |
//! | `map` | element-wise loops, with or without per-channel coefficients |
//! | `peak` | the peak throughput of the machine |
//! | `pooling` | maxima and sums over windows |
//! | `reduce` | per-channel sums, means and variances |

pub mod broadcast;
pub mod choice;
pub mod conv;
pub mod dot;
pub mod gemm;
pub mod isa;
pub mod layout;
pub mod map;
pub mod peak;
pub mod pooling;
pub mod reduce;
pub(crate) mod table;
pub(crate) mod tile;
pub mod window;
