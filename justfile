# Recipes for people. CI runs .ci/run, which does not need just; `just ci` and the recipes of single steps call it.

python := env("PYTHON", "python3")

# The README's main command, so that the recipe cannot differ from it.
train_command := `.ci/run --print train`

# List the recipes.
default:
    @{{ just_executable() }} --list --unsorted

# cargo fmt --all --check
fmt:
    .ci/run fmt

# cargo clippy --workspace --all-targets -- -D warnings
lint:
    .ci/run lint

# RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
doc:
    .ci/run doc

# The README's test command.
test:
    .ci/run test

# The README's main command; flags are passed on.
train *FLAGS:
    {{ train_command }} {{ FLAGS }}

# Everything CI runs, in order.
ci:
    .ci/run

# Licences, duplicates, sources and advisories of dependencies.
deny:
    .ci/run deny

# The book, into target/book.
book:
    mdbook build docs

# Write the golden files again (needs PyTorch; see CONTRIBUTING.md).
golden:
    {{ python }} tools/make_golden.py

# Time our steps beside PyTorch's.
bench *FLAGS:
    cargo build --release -p sph
    {{ python }} bench/run.py {{ FLAGS }}

# Compare a release build with PyTorch in both directions.
pytorch *FLAGS:
    cargo build --release -p sph
    {{ python }} tools/check_pytorch.py {{ FLAGS }}

# Read a run's events with TensorBoard's own reader.
tensorboard *FLAGS:
    cargo build --release -p sph
    {{ python }} tools/check_tensorboard.py {{ FLAGS }}
