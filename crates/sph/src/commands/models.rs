//! `sph models`: what models there are and what they cost.

use crate::config::{count, model_names, pixels};
use crate::error::Result;
use clap::Args;
use sph_nn::models::{self, ModelConfig, ModelRow};
use sph_optim::second_order_blocks;
use sph_tensor::Pool;
use sph_train::{Objective, cost};

/// List the models: parameters, those in second-order blocks, multiply-adds per image.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "Multiply-adds are those of convolutions and matrix products in one forward pass.\n\nExamples:\n  sph models\n  sph \
                  models resnet18 resnet50 --image-size 224 --classes 1000 --json"
)]
pub struct ModelsArgs {
    /// Models [default: all].
    #[arg(value_name = "NAME", value_parser = model_names())]
    pub names: Vec<String>,
    /// Height and width of the images.
    #[arg(long, default_value = "32", value_parser = pixels, value_name = "PIXELS")]
    pub image_size: usize,
    /// Channels of the images.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..))]
    pub channels: u8,
    /// Number of classes.
    #[arg(long, default_value = "10", value_parser = count)]
    pub classes: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What is said of a model.
struct Cost {
    parameters: usize,
    one_d: usize,
    /// Or why it does not take such images.
    multiply_adds: std::result::Result<u64, String>,
}

/// Prints the list.
///
/// # Errors
/// When stdout cannot be written to.
pub fn run(args: &ModelsArgs) -> Result<()> {
    super::configure_threads(None)?;
    let side = args.image_size;
    let cost = |row: &ModelRow| -> Result<Cost> {
        let config = ModelConfig {
            norm: row.default_norm(),
            ..ModelConfig::new(args.channels.into(), (side, side), args.classes)
        };
        let network = models::build(row.name, &config)?;
        let parameters = network.size();
        let specs: Vec<_> = network.params().cloned().collect();
        let one_d = second_order_blocks(&specs).iter().map(|&b| specs[b].len()).sum();
        let f = Objective::new(network, &Pool::<f32>::new(), 0);
        let multiply_adds =
            cost::multiply_adds(&f, (side, side, args.channels.into())).map_err(|e| e.to_string());
        Ok(Cost { parameters, one_d, multiply_adds })
    };
    let named = |row: &&ModelRow| args.names.is_empty() || args.names.iter().any(|n| n == row.name);
    let rows = || models::MODELS.iter().filter(named);
    if args.json {
        let mut records = Vec::new();
        for row in rows() {
            let Cost { parameters, one_d, multiply_adds } = cost(row)?;
            records.push(serde_json::json!({
                "name": row.name,
                "about": row.about,
                "parameters": parameters,
                "second_order_parameters": one_d,
                "multiply_adds": multiply_adds.as_ref().ok(),
                "error": multiply_adds.err(),
            }));
        }
        let record = serde_json::json!({
            "image_size": side, "channels": args.channels, "classes": args.classes, "models": records,
        });
        return super::say(&record.to_string());
    }
    super::say(&format!("{:16} {:>12} {:>8} {:>14}  about", "model", "parameters", "1-D", "multiply-adds"))?;
    for row in rows() {
        let Cost { parameters, one_d, multiply_adds } = cost(row)?;
        let (cost, note) = match multiply_adds {
            Ok(n) => (grouped(n), row.about.to_string()),
            Err(e) => ("-".into(), e),
        };
        let (parameters, one_d) = (grouped(parameters as u64), grouped(one_d as u64));
        super::say(&format!("{:16} {parameters:>12} {one_d:>8} {cost:>14}  {note}", row.name))?;
    }
    Ok(())
}

/// A number with commas between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = (digits.len() - 1) % 3 + 1;
    let rest = digits.as_bytes()[first..].chunks(3).map(|c| String::from_utf8_lossy(c).into_owned());
    std::iter::once(digits[..first].to_string()).chain(rest).collect::<Vec<_>>().join(",")
}

#[test]
fn thousands_are_grouped() {
    assert_eq!([0, 12, 999, 1000, 1234567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
}
