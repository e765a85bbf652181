//! One cycle (Smith and Topin 2018), PyTorch's two phases: half a cosine up from `warmup_lr` to `lr` during warmup, which is 0.3 of the
//! run unless it is set, and half a cosine down to `min_lr` at the end of the run.

pub(super) use super::cosine::rate;
pub(super) use super::half_cosine as rise;
