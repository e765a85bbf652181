//! What an inspection looks at.

/// What an inspection looks at.
#[derive(Debug, Clone)]
pub struct InspectionSettings {
    /// Entries of the largest block whose dense Hessian and Fisher block are formed.
    pub dense_limit: usize,
    /// Random probes on each larger block.
    pub block_probes: usize,
    /// The whole network, too.
    pub network: Option<NetworkSettings>,
    /// Seed of all probes; each batch has probes of its own.
    pub seed: u64,
}

impl Default for InspectionSettings {
    fn default() -> Self {
        InspectionSettings {
            dense_limit: 256,
            block_probes: 32,
            network: Some(NetworkSettings::default()),
            seed: 0,
        }
    }
}

/// What is found out about the Hessian over all parameters.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Eigenvalues of largest absolute value.
    pub top: usize,
    /// They are known when their residuals are at most this times |λ|.
    pub tolerance: f64,
    /// Products after which the search for them ends.
    pub max_products: usize,
    /// Probes for trace and density.
    pub probes: usize,
    /// Lanczos steps per probe.
    pub steps: usize,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        NetworkSettings { top: 5, tolerance: 1e-3, max_products: 300, probes: 8, steps: 20 }
    }
}
