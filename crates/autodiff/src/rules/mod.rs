//! Rules that whole families of ops share: an op of such a family states its maps, and the four rules follow.

mod attention;
mod bilinear;
mod group_norm;
mod linear;
mod mean_loss;
mod normalize;
mod pair;
mod pointwise;
mod row_map;
mod row_norm;

pub use attention::AttentionOp;
pub use bilinear::{Bilinear, BilinearOp};
pub use group_norm::{GroupNormOp, Groups};
pub use linear::{Linear, LinearOp};
pub use mean_loss::{ElementLoss, MeanLossOp};
pub(crate) use normalize::{
    BETA, ChannelSums, Channels, Coefficients, GAMMA, Operands, X, channel_sums, combine,
};
pub use pair::{Pair, PairOp, Slope};
pub use pointwise::{Pointwise, PointwiseOp};
pub(crate) use row_map::softmax_row;
pub use row_map::{RowMap, RowMapOp};
pub use row_norm::RowNormOp;
