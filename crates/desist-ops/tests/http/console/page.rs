//! The page, and the files that it has.

use axum::Router;
use desist_ops::console::Console;
use desist_ops::http::Routes;
use desist_ops::{Operations, Sqlite};

use super::desk::{Desk, hook, kept_to_itself, refused, sent};

async fn operations() -> Operations<Sqlite> {
    let store = Sqlite::open(":memory:").await.unwrap();
    Operations::builder(store).open().await.unwrap()
}

async fn console() -> Console<Sqlite> {
    Console::new(Routes::new(operations().await).authorize(hook))
}

/// Where an address leads that a page at this one has.
fn joined(page: &str, address: &str) -> String {
    let base = reqwest::Url::parse("http://host").unwrap().join(page).unwrap();
    base.join(address).unwrap().path().to_owned()
}

#[tokio::test]
async fn wherever_it_is_mounted_the_page_and_all_that_is_relative_to_it_are_there() {
    let bare = Router::new().merge(console().await.at("/console"));
    let slash = Router::new().merge(console().await.at("/console/"));
    let deep = Router::new().merge(console().await.at("/a/b-c"));
    let nested = Router::new().nest("/admin", console().await.at("/console"));
    let twice = Router::new().nest("/x", Router::new().nest("/y", console().await.at("/z")));
    for (app, path) in [
        (bare, "/console"),
        (slash, "/console"),
        (deep, "/a/b-c"),
        (nested, "/admin/console"),
        (twice, "/x/y/z"),
    ] {
        let desk = Desk::serves(app, "127.0.0.1:0").await;
        let moved = sent(desk.at(&format!("{path}?kind=a%20b&x"))).await;
        assert_eq!(moved.status(), 307, "{path}");
        kept_to_itself(&moved);
        let place = moved.headers()["location"].to_str().unwrap();
        assert!(place.starts_with("./"), "{place}");
        assert_eq!(joined(path, place), format!("{path}/"));
        assert!(place.ends_with("/?kind=a%20b&x"), "{place}");
        is_a_page(&desk, &format!("{path}/")).await;
        assert_eq!(sent(desk.at("/")).await.status(), 404, "it is nowhere else");
    }
}

#[tokio::test]
async fn at_the_root_the_page_has_a_slash_already() {
    let app = Router::new().merge(console().await.at("/"));
    let desk = Desk::serves(app, "127.0.0.1:0").await;
    is_a_page(&desk, "/").await;
    let app = Router::new().nest("/admin/", console().await.at("/"));
    is_a_page(&Desk::serves(app, "127.0.0.1:0").await, "/admin/").await;
}

#[tokio::test]
async fn where_its_address_can_have_no_slash_it_is_said_how_to_mount_it() {
    let app = Router::new().nest("/admin", console().await.at("/"));
    let desk = Desk::serves(app, "127.0.0.1:0").await;
    let page = sent(desk.at("/admin").header("x-user", "root")).await;
    assert_eq!(page.status(), 500);
    kept_to_itself(&page);
    let page = page.text().await.unwrap();
    assert!(page.contains("mount it at a path of its own"), "{page}");
}

async fn is_a_page(desk: &Desk, path: &str) {
    let page = sent(desk.at(path).header("x-user", "root")).await;
    assert_eq!(page.status(), 200, "{path}");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers()["cache-control"], "no-store");
    kept_to_itself(&page);
    let file = sent(desk.at(&joined(path, "./assets/refused.css"))).await;
    assert_eq!(file.status(), 200);
    let live = sent(desk.at(&joined(path, "./live")).header("x-user", "root")).await;
    assert_eq!(live.status(), 200);
    kept_to_itself(&live);
    let api = sent(desk.at(&joined(path, "./api/?kind=")).header("x-user", "root")).await;
    assert_eq!(api.status(), 200);
    kept_to_itself(&api);
}

#[tokio::test]
async fn a_page_names_nothing_that_is_elsewhere_or_inline() {
    let desk = Desk::with(&operations().await, |routes| Console::new(routes.authorize(hook))).await;
    for user in ["root", ""] {
        let mut request = desk.at("/admin/console/");
        if !user.is_empty() {
            request = request.header("x-user", user);
        }
        let page = sent(request).await.text().await.unwrap();
        assert!(page.starts_with("<!doctype html>"), "{page}");
        // The name of what a picture is written in; nobody asks there.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for never in ["http://", "https://", "src=\"/", "href=\"/", " style=", "<style"] {
            assert!(!page.contains(never), "{never} is in {page}");
        }
        for attribute in page.split(" on").skip(1) {
            let name = attribute.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            assert!(!name.starts_with('='), "on{attribute}");
        }
        for script in page.split("<script").skip(1) {
            assert!(script.split_once("></script>").is_some_and(|(tag, _)| tag.contains("src=")));
        }
    }
}

#[tokio::test]
async fn each_file_is_sent_as_what_it_is_and_once() {
    let desk = Desk::with(&operations().await, |routes| Console::new(routes.authorize(hook))).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/page");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let kind = match name.rsplit('.').next().unwrap() {
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => continue,
        };
        files += 1;
        // Also for whoever is refused: what refuses them is to look like something.
        let place = format!("/admin/console/assets/{name}");
        let first = sent(desk.at(&place)).await;
        assert_eq!(
            (first.status().as_u16(), &first.headers()["content-type"]),
            (200, &kind.parse().unwrap())
        );
        assert_eq!(first.headers()["cache-control"], "no-cache");
        kept_to_itself(&first);
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 4, "{tag}");
        assert_eq!(first.bytes().await.unwrap(), std::fs::read(file.path()).unwrap());
        for known in [tag.clone(), format!("\"other\", {tag}")] {
            let again = sent(desk.at(&place).header("if-none-match", known)).await;
            assert_eq!(
                (again.status().as_u16(), again.headers()["etag"].to_str().unwrap()),
                (304, &*tag)
            );
            kept_to_itself(&again);
            assert!(again.bytes().await.unwrap().is_empty());
        }
        let other = sent(desk.at(&place).header("if-none-match", "\"other\"")).await;
        assert_eq!(other.status(), 200);
    }
    assert!(files > 0, "the page has files");
}

#[tokio::test]
async fn what_is_not_a_file_of_the_page_is_not_found() {
    let desk = Desk::with(&operations().await, |routes| Console::new(routes.authorize(hook))).await;
    for name in ["none.js", "index.html", "refused.html", "..%2fmod.rs", "%2e%2e%2fpage.rs", "%ff"]
    {
        let none = sent(desk.at(&format!("/admin/console/assets/{name}"))).await;
        assert!([400, 404].contains(&none.status().as_u16()), "{name}: {}", none.status());
        kept_to_itself(&none);
    }
}

#[tokio::test]
async fn a_wrong_method_is_refused_with_the_same_headers() {
    let operations = operations().await;
    let desk = Desk::with(&operations, |routes| Console::new(routes.authorize(hook))).await;
    let client = reqwest::Client::new();
    for path in ["/", "/live", "/assets/refused.css"] {
        let place = format!("http://{}/admin/console{path}", desk.host);
        let answer = sent(client.post(place).header("x-user", "root")).await;
        assert_eq!(answer.status(), 405, "{path}");
        kept_to_itself(&answer);
    }
    let id = desist_ops::OperationId::random();
    let (status, detail) = refused(desk.get("root", &format!("/api/{id}/cancel"))).await;
    assert_eq!((status, detail.contains("asked for with GET")), (405, true), "{detail}");
    // What a page has no use for is not there: to start one, to cancel by tag.
    for path in ["/api/", "/api/cancel", "/api/overdue"] {
        let place = format!("http://{}/admin/console{path}", desk.host);
        let starts = client.post(place).header("x-user", "root").header("x-desist", "1");
        let status = sent(starts).await.status().as_u16();
        assert!([404, 405].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn below_a_path_with_parameters_all_of_it_is_there() {
    let console = console().await.at("/console");
    let desk =
        Desk::serves(Router::new().nest("/{tenant}/of/{place}", console), "127.0.0.1:0").await;
    for path in ["/", "/assets/main.mjs", "/live", "/api/"] {
        let asks = desk.at(&format!("/acme/of/eu/console{path}")).header("x-user", "root");
        assert_eq!(sent(asks).await.status(), 200, "{path}");
    }
    let asks = desk.at("/acme/of/eu/console/api/op_0/history").header("x-user", "root");
    assert_eq!(sent(asks).await.status(), 404);
}
