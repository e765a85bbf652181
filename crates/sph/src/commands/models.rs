//! `sph models`: what models there are and what they cost.

use crate::config::{count, decouple_names, model_names, pixels};
use crate::error::Result;
use clap::Args;
use sph_nn::Store;
use sph_nn::models::{self, ModelConfig, ModelRow};
use sph_optim::second_order_blocks;
use sph_tensor::Pool;
use sph_train::files::GraphFile;
use sph_train::{Objective, cost};
use std::path::Path;

/// List the models, or what is in files with networks: parameters, those in second-order blocks, multiply-adds per image.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "Multiply-adds are those of convolutions and matrix products in one forward pass.\n\nExamples:\n  sph models\n  sph \
                  models resnet18 resnet50 --image-size 224 --classes 1000 --json\n  sph models net.pt2"
)]
pub struct ModelsArgs {
    /// Models, or files of torch.export.save [default: all models].
    #[arg(value_name = "NAME|NET.pt2", value_parser = model_names())]
    pub names: Vec<String>,
    /// Split the weights of layers that no norm follows into magnitudes and directions.
    #[arg(long, default_value = "none", value_parser = decouple_names())]
    pub decouple: String,
    /// Height and width of the images, for models by name.
    #[arg(long, default_value = "32", value_parser = pixels, value_name = "PIXELS")]
    pub image_size: usize,
    /// Channels of the images, for models by name.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..))]
    pub channels: u8,
    /// Number of classes, for models by name.
    #[arg(long, default_value = "10", value_parser = count)]
    pub classes: usize,
    /// Print one JSON object, for files one each.
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
    let files: Vec<&String> = args.names.iter().filter(|name| GraphFile::is_one(name)).collect();
    for file in &files {
        describe(&GraphFile::read(Path::new(file))?, args)?;
    }
    if !files.is_empty() && files.len() == args.names.len() {
        return Ok(());
    }
    let side = args.image_size;
    let cost = |row: &ModelRow| -> Result<Cost> {
        let config = ModelConfig {
            norm: row.default_norm(),
            decouple: args.decouple == "auto",
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

/// Prints what is in a file: inputs, parameters with their roles, blocks, and cost.
fn describe(file: &GraphFile, args: &ModelsArgs) -> Result<()> {
    let network = file.build(args.decouple == "auto")?;
    let pool = Pool::<f32>::new();
    let store = Store::init(&network.network, &pool, 0);
    let (total, by_parameter) = cost::of_imported(&network, &store, &pool).map_err(sph_train::Error::from)?;
    let specs = store.specs();
    let blocks = second_order_blocks(specs);
    let entries = |chosen: &mut dyn Iterator<Item = usize>| chosen.map(|i| specs[i].len()).sum::<usize>();
    let (all, one_d) = (entries(&mut (0..specs.len())), entries(&mut blocks.iter().copied()));
    let frozen = entries(&mut (0..specs.len()).filter(|&i| specs[i].frozen_by_default));
    let word = |i: usize| if specs[i].head { "head" } else { "" };
    if args.json {
        let parameters: Vec<_> = specs
            .iter()
            .enumerate()
            .map(|(i, spec)| {
                serde_json::json!({
                    "name": spec.name, "aliases": spec.aliases, "class": spec.class, "shape": spec.shape,
                    "role": spec.role.name(), "head": spec.head, "frozen": spec.frozen_by_default,
                    "second_order": blocks.contains(&i), "multiply_adds": by_parameter[i],
                })
            })
            .collect();
        let inputs: Vec<_> = network
            .inputs
            .iter()
            .map(|i| serde_json::json!({ "name": i.name, "shape": i.shape, "integer": i.integer }))
            .collect();
        let record = serde_json::json!({
            "name": file.name(), "sha256": file.digest(), "inputs": inputs, "output": network.output, "batch": network.batch,
            "parameters": all, "second_order_parameters": one_d, "blocks": blocks.len(), "multiply_adds": total,
            "values": network.values,
            "notes": network.notes, "tensors": parameters,
        });
        return super::say(&record.to_string());
    }
    let times = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
    let shapes: Vec<String> = network
        .inputs
        .iter()
        .map(|i| {
            format!("{} N×{}{}", i.name, times(&i.shape), if i.integer { " (whole numbers)" } else { "" })
        })
        .collect();
    let gives = network.output.as_ref().map_or("a loss".to_string(), |o| format!("N×{}", times(o)));
    super::say(&format!("{}: {} -> {gives}", file.name(), shapes.join(", ")))?;
    let width = specs.iter().map(|s| s.name.len()).max().unwrap_or(0).max(9);
    let class = specs.iter().map(|s| s.class_name().len()).max().unwrap_or(0).max(5);
    super::say(&format!(
        "{:width$}  {:class$}  {:>16}  {:12} {:6} {:>14}{}",
        "parameter",
        "class",
        "shape",
        "role",
        "block",
        "multiply-adds",
        if frozen > 0 { "  trained" } else { "" }
    ))?;
    for (i, spec) in specs.iter().enumerate() {
        let block = if blocks.contains(&i) { "yes" } else { word(i) };
        let cost = if by_parameter[i] > 0 { grouped(by_parameter[i]) } else { String::new() };
        let line = format!(
            "{:width$}  {:class$}  {:>16}  {:12} {block:6} {cost:>14}{}",
            spec.name,
            spec.class_name(),
            times(&spec.shape),
            spec.role.name(),
            if spec.frozen_by_default { "  frozen" } else { "" }
        );
        super::say(line.trim_end())?;
    }
    super::say(&format!(
        "{} parameters, {}{} of them second-order in {} blocks, {} multiply-adds and {} values a sample",
        grouped(all as u64),
        if frozen > 0 { format!("{} of them frozen, ", grouped(frozen as u64)) } else { String::new() },
        grouped(one_d as u64),
        blocks.len(),
        grouped(total),
        grouped(network.values as u64)
    ))?;
    super::note(&network.notes);
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
