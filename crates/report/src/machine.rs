//! The machine that times were measured on.

/// Processor, cores that this process may use, and system, in words.
pub(crate) fn described() -> String {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let s = if cores == 1 { "" } else { "s" };
    format!("{cores} core{s} of {}, {}", processor(), std::env::consts::OS)
}

/// What the processor calls itself; elsewhere its architecture.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    if let Some(brand) = raw_cpuid::CpuId::new().get_processor_brand_string() {
        return brand.as_str().trim().to_string();
    }
    std::env::consts::ARCH.into()
}
