//! What a parameter is: name, shape, role.

/// What a parameter does in its layer. Second-order blocks and weight decay are chosen by role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// γ of a normalization layer.
    NormScale,
    /// β of a normalization layer.
    NormShift,
    /// Bias of a convolution or linear layer.
    Bias,
    /// γ of a decoupled layer: the norm of one output channel's weights.
    Magnitude,
    /// V of a decoupled layer.
    Direction,
    /// Weights of a convolution or linear layer.
    Weight,
    /// An embedding table.
    Embedding,
}

impl Role {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Role::NormScale => "norm scale",
            Role::NormShift => "norm shift",
            Role::Bias => "bias",
            Role::Magnitude => "magnitude",
            Role::Direction => "direction",
            Role::Weight => "weight",
            Role::Embedding => "embedding",
        }
    }
}

/// A parameter tensor as optimizers and files see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// torchvision's name, such as `layer2.0.downsample.0.weight`.
    pub name: String,
    /// PyTorch's shape: OIHW for convolutions, [out, in] for linear layers.
    pub shape: Vec<usize>,
    /// What it does.
    pub role: Role,
    /// Belongs to the classifier.
    pub head: bool,
    /// The bias of a decoupled layer.
    pub decoupled: bool,
    /// Its curvature is zero on some of its entries, identically: the keys' part of an attention layer's bias.
    pub flat: bool,
    /// Not trained: no optimizer moves it and no gradient of it is taken.
    pub frozen: bool,
    /// Not trained unless it is asked for by name or kind: the network was given so (PyTorch's `requires_grad` is false).
    pub frozen_by_default: bool,
    /// Of weights: the number of the bias that their layer adds, where it has one.
    pub bias: Option<usize>,
    /// Its other names: tied weights are one parameter.
    pub aliases: Vec<String>,
    /// The class of the module that it hangs in, such as `torch.nn.modules.conv.Conv2d`; empty where there is no such module.
    pub class: String,
}

impl ParamSpec {
    /// A parameter without tags.
    pub fn new(name: impl Into<String>, shape: &[usize], role: Role) -> Self {
        ParamSpec {
            name: name.into(),
            shape: shape.to_vec(),
            role,
            head: false,
            decoupled: false,
            flat: false,
            frozen: false,
            frozen_by_default: false,
            bias: None,
            aliases: Vec::new(),
            class: String::new(),
        }
    }

    /// γ and β of norms, magnitudes and biases of decoupled layers: the parameters whose partial Hessian is cheap
    /// (docs/algorithm.md §1). The classifier's bias is not among them: softmax does not feel a shift, so its row sums are 0. Nor
    /// is a bias whose curvature is zero in places.
    pub fn is_second_order(&self) -> bool {
        match self.role {
            Role::NormScale | Role::NormShift | Role::Magnitude => true,
            Role::Bias => self.decoupled && self.may_be_second_order(),
            Role::Direction | Role::Weight | Role::Embedding => false,
        }
    }

    /// One number per channel whose curvature is worth asking for: [`ParamSpec::is_second_order`], and other biases when selected.
    pub fn may_be_second_order(&self) -> bool {
        match self.role {
            Role::NormScale | Role::NormShift | Role::Magnitude => true,
            Role::Bias => !self.head && !self.flat,
            Role::Direction | Role::Weight | Role::Embedding => false,
        }
    }

    /// One number per channel: weight decay has a value of its own on these.
    pub fn is_1d(&self) -> bool {
        let row = matches!(self.role, Role::NormScale | Role::NormShift | Role::Bias | Role::Magnitude);
        self.shape.len() <= 1 || row
    }

    /// The class of its module without the path in front of it.
    pub fn class_name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
