//! What all pages have in common: a frame that needs no network and no script.

use crate::text::escape;
use plotters::style::RGBColor;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:1320px;margin:24px auto;padding:0 20px}\
h1{font-size:24px;margin-bottom:4px}h2{font-size:19px;margin-top:34px;border-bottom:1px solid #ddd}h3{font-size:15px;margin:0}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}\
td,th{padding:2px 6px;text-align:right;border-bottom:1px solid #eee;white-space:nowrap}td:first-child,th:first-child{text-align:left}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;font-size:13px}dt{font-weight:600}dd{margin:0}\
.blocks{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(560px,100%),1fr));gap:22px}.block{border:1px solid #ddd;padding:10px 12px}\
.pair{display:flex;gap:6px;flex-wrap:wrap}figure{margin:0;min-width:0;flex:1 1 250px}p.note{margin:2px 0 6px}figcaption{font-size:13px;color:#444}\
pre{font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere}svg{max-width:100%;height:auto}.note{color:#555;font-size:13px}.key{display:inline-block;width:11px;height:11px;margin:0 4px 0 12px}\
.name{white-space:nowrap}.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(560px,100%),1fr));gap:10px 22px}\
.confusion td,.confusion th{text-align:center;min-width:22px}.images{display:flex;flex-wrap:wrap;gap:12px}.images figure{flex:0 0 112px}\
.images img{width:112px;height:112px;object-fit:contain;image-rendering:pixelated;background:#f4f4f4;display:block}";

/// The page with this title and body.
pub(crate) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    // The policy makes browsers refuse and report whatever is not in the page itself; without an icon they ask a server for one.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"/>\n<meta name=\"viewport\" content=\"width=device-width\"/>\n\
         <link rel=\"icon\" href=\"data:,\"/>\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// A colour for CSS.
pub(crate) fn css(c: RGBColor) -> String {
    format!("rgb({},{},{})", c.0, c.1, c.2)
}

/// A legend of colours.
pub(crate) fn legend<'a>(keys: impl IntoIterator<Item = (RGBColor, &'a str)>) -> String {
    let key = |(colour, name): (RGBColor, &str)| {
        let (colour, name) = (css(colour), escape(name));
        // A space after it: that is where a line may end.
        format!(
            "<span class=\"name\"><span class=\"key\" style=\"background:{colour}\"></span>{name}</span> "
        )
    };
    format!("<p class=\"note\">{}</p>\n", keys.into_iter().map(key).collect::<String>())
}

/// A table: heads, then rows, as text.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, row: &Vec<String>| {
        row.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect::<String>()
    };
    let row = |(i, row): (usize, &Vec<String>)| {
        format!("<tr>{}</tr>\n", cells(if i == 0 { "th" } else { "td" }, row))
    };
    let rows = rows.iter().enumerate().map(row).collect::<String>();
    format!("<div class=\"scroll\">\n<table>\n{rows}</table>\n</div>\n")
}

/// Names with what they mean.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let item =
        |(name, text): (&str, String)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(&text));
    format!("<dl>\n{}</dl>\n", items.into_iter().map(item).collect::<String>())
}

/// A chart with what it shows.
pub(crate) fn figure(chart: &str, caption: &str) -> String {
    format!("<figure>{chart}<figcaption>{}</figcaption></figure>\n", escape(caption))
}
