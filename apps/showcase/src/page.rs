//! The one page.

use axum::response::Html;

pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}
