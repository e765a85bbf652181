//! What the help says of optimizers' settings: which optimizers have one, and its usual values, worked out from the table.

use sph_optim::presets::{self, Context, FIRST_ORDER, Row, Task};
use sph_optim::settings::{
    BACKTRACK, CLIP_GRAD, CLIP_MODE, Kind, LR, SECOND_ORDER, Setting, Settings, Value,
};
use sph_optim::{Choice, is_of_a_half};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The settings of all optimizers, each once.
pub(super) fn settings() -> Vec<Setting> {
    let mut all: Vec<Setting> = vec![FIRST_ORDER, SECOND_ORDER];
    let rows = presets::all();
    for setting in rows.iter().flat_map(|r| r.settings).chain(&[CLIP_GRAD, CLIP_MODE, BACKTRACK]) {
        if !all.iter().any(|s| s.name == setting.name) {
            all.push(*setting);
        }
    }
    all
}

/// The settings of rules for the rest, and whether one for second-order blocks has one of the same name.
pub(super) fn settings_of_rest() -> Vec<(Setting, bool)> {
    let rows = presets::all();
    let has = |name: &str, rule: bool| rows.iter().any(|r| r.is_rule() == rule && r.setting(name).is_some());
    let of_rest = settings().into_iter().filter(|s| is_of_a_half(s.name) && has(s.name, true));
    of_rest.map(|s| (s, has(s.name, false))).collect()
}

/// Whether an optimizer that makes sense for adaptation has a setting of that name.
pub(super) fn adapts(name: &str) -> bool {
    presets::all().into_iter().any(|r| r.adapts && has(r, name))
}

/// Whether an optimizer has a setting, whatever its rule for the rest.
fn has(row: &Row, name: &str) -> bool {
    let of_all = [LR, CLIP_GRAD, CLIP_MODE, BACKTRACK].iter().any(|s| s.name == name);
    let of_halves = [FIRST_ORDER, SECOND_ORDER].iter().any(|s| s.name == name);
    row.setting(name).is_some() || of_all || of_halves && !row.is_rule()
}

/// A circumstance that other values are usual in: what the help calls it, the context, and settings that are given.
struct Circumstance {
    /// As `with --first-order`.
    kind: String,
    /// As `adamw`.
    item: &'static str,
    cx: Context<'static>,
    given: Settings,
}

/// The circumstances of a task, the plain one first.
fn circumstances(task: Task) -> Vec<Circumstance> {
    let plain = Context { task, ..Context::default() };
    let of = |kind: &str, item, cx, given| Circumstance { kind: kind.into(), item, cx, given };
    let mut all = vec![of("", "", plain, Settings::default())];
    match task {
        Task::Train => {
            all.push(of("with --norm", "none", Context { norms: false, ..plain }, Settings::default()));
            all.push(of("on tokens", "", Context { tokens: true, ..plain }, Settings::default()));
        }
        Task::Adapt { .. } => {
            let adapt = |labels, batch| Context { task: Task::Adapt { labels, batch }, ..plain };
            all.push(of("with --loss", "entropy", adapt(false, None), Settings::default()));
            all.push(of("in batches of", "128", adapt(true, Some(128)), Settings::default()));
        }
    }
    for row in rows(task).into_iter().filter(|r| r.is_rule()) {
        let given = Settings::default().with(FIRST_ORDER.name, row.name);
        all.push(of(&format!("with --{}", FIRST_ORDER.name), row.name, plain, given));
    }
    // Names that stand for several settings.
    for preset in presets::all().into_iter().flat_map(|r| r.settings).filter(|s| s.default.is_none()) {
        let Kind::Name(names) = preset.kind else { continue };
        for (name, _) in names() {
            let given = Settings::default().with(preset.name, name.clone());
            all.push(of(&format!("with --{} {name}", preset.name), "", plain, given));
        }
    }
    all
}

fn rows(task: Task) -> Vec<&'static Row> {
    presets::all().into_iter().filter(|r| task == Task::Train || r.adapts).collect()
}

/// A value in the help, without what rounding left in it.
fn shown(value: &Value) -> String {
    let Value::Number(v) = value else { return value.to_string() };
    let short = format!("{v:.9e}").parse().unwrap_or(*v);
    if short != 0.0 && short < 1e-4 { format!("{short:e}") } else { format!("{short}") }
}

/// Usual values of a setting in the help: for these optimizers, in circumstances of one kind.
struct Clause {
    names: String,
    kind: String,
    items: Vec<&'static str>,
    value: String,
}

impl std::fmt::Display for Clause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let items = self.items.join(", ");
        let words: Vec<&str> =
            [&*self.names, &*self.kind, &*items].into_iter().filter(|w| !w.is_empty()).collect();
        match words.is_empty() {
            true => f.write_str(&self.value),
            false => write!(f, "{}: {}", words.join(" "), self.value),
        }
    }
}

/// The settings of every optimizer in every circumstance of a task.
struct Usual {
    rows: Vec<&'static Row>,
    circumstances: Vec<Circumstance>,
    /// By circumstance and row; `None` where the optimizer is not in it.
    settings: Vec<Vec<Option<Settings>>>,
}

impl Usual {
    fn of(task: Task) -> Self {
        let (rows, circumstances) = (rows(task), circumstances(task));
        let of = |c: &Circumstance, row: &Row| {
            let choice = Choice::new(row.name, c.given.clone(), &c.cx).ok()?;
            Some(choice.settings(&c.cx))
        };
        let settings = circumstances.iter().map(|c| rows.iter().map(|r| of(c, r)).collect()).collect();
        Usual { rows, circumstances, settings }
    }
}

/// What the help says of a setting.
#[derive(Clone, Default)]
pub(super) struct Text {
    /// In `-h`: what it does, and what is usual.
    pub(super) short: String,
    /// In `--help`: which optimizers have it, and what is usual in which circumstances, too.
    pub(super) long: String,
}

/// The help of every setting, by its name.
pub(super) type Help = BTreeMap<&'static str, Text>;

/// The help of all settings for a task. It is worked out once for a table of optimizers.
pub(super) fn help(task: Task) -> Arc<Help> {
    static KNOWN: Mutex<Vec<(Task, usize, Arc<Help>)>> = Mutex::new(Vec::new());
    let rows = presets::all().len();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((.., help)) = known.iter().find(|k| (k.0, k.1) == (task, rows)) {
        return help.clone();
    }
    let usual = Usual::of(task);
    let help: Arc<Help> = Arc::new(settings().iter().map(|s| (s.name, about(s, &usual))).collect());
    known.push((task, rows, help.clone()));
    help
}

/// The help of a setting.
fn about(setting: &Setting, usual: &Usual) -> Text {
    let rows: Vec<(usize, &Row)> =
        usual.rows.iter().copied().enumerate().filter(|(_, r)| has(r, setting.name)).collect();
    let of = match rows.len() == usual.rows.len() {
        true => String::new(),
        false => format!(" ({})", rows.iter().map(|r| r.1.name).collect::<Vec<_>>().join(", ")),
    };
    let value = |row: usize, circumstance: usize| {
        usual.settings[circumstance][row].as_ref()?.get(setting.name).map(shown)
    };
    let mut clauses: Vec<Clause> = Vec::new();
    for (number, circumstance) in usual.circumstances.iter().enumerate() {
        // Another value of the setting itself is no circumstance of it.
        if circumstance.given.get(setting.name).is_some() {
            continue;
        }
        // The optimizers by value, those that have most in common first, without their names.
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for (i, row) in &rows {
            let Some(found) = value(*i, number) else { continue };
            if number > 0 && Some(&found) == value(*i, 0).as_ref() {
                continue;
            }
            match groups.iter_mut().find(|g| g.0 == found) {
                Some(group) => group.1.push(row.name),
                None => groups.push((found, vec![row.name])),
            }
        }
        groups.sort_by_key(|g| std::cmp::Reverse(g.1.len()));
        for (i, (value, names)) in groups.into_iter().enumerate() {
            let all = i == 0 && number == 0 || names.len() == rows.len();
            let names = if all { String::new() } else { names.join(", ") };
            let same = |c: &&mut Clause| c.kind == circumstance.kind && c.names == names && c.value == value;
            match clauses.iter_mut().find(same) {
                Some(clause) => clause.items.push(circumstance.item),
                None => {
                    let (kind, items) = (circumstance.kind.clone(), vec![circumstance.item]);
                    clauses.push(Clause { names, kind, items, value });
                }
            }
        }
    }
    let clauses: Vec<String> = clauses.iter().map(ToString::to_string).collect();
    let text = |of: &str, clauses: &str| {
        let defaults = if clauses.is_empty() { String::new() } else { format!(" [default: {clauses}]") };
        crate::error::flags(&format!("{}{of}{defaults}", setting.about))
    };
    let usual = clauses.first().map_or(String::new(), |first| match clauses.len() {
        1 => first.clone(),
        _ => format!("{first}; others: see --help"),
    });
    Text { short: text("", &usual), long: text(&of, &clauses.join("; ")) }
}
