//! How far an imported network is from PyTorch in double precision: `agreement NET.pt2 NET.safetensors`, the second file as
//! tools/make_pt2.py describes it. Prints one JSON object of relative errors, the largest of each kind.

#[path = "../tests/agreement/mod.rs"]
mod agreement;

fn main() {
    let paths: Vec<std::path::PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    let [pt2, numbers] = &paths[..] else {
        eprintln!("usage: agreement NET.pt2 NET.safetensors");
        std::process::exit(2);
    };
    let errors = agreement::compare(pt2, numbers);
    let fields: Vec<String> = errors.iter().map(|(kind, e)| format!("\"{kind}\": {e:e}")).collect();
    println!("{{{}}}", fields.join(", "));
}
