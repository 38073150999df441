//! The list of models: what it says is well formed, agrees with the library and with the page that people read.

use sam_octa2_core::loader::{self, ModelRequest, Place};
use sam_octa2_core::model::ModelConfig;
use sam_octa2_core::model::config::{Catalogue, CatalogueEntry, Official};
use sam_octa2_core::weights;
use std::path::Path;

fn built_in() -> Vec<CatalogueEntry> {
    Catalogue::built_in().unwrap().entries().to_vec()
}

#[test]
fn the_official_sizes_are_listed_with_their_digests() {
    let catalogue = Catalogue::built_in().unwrap();
    for official in Official::all() {
        let entry = catalogue.named(&official.to_string()).unwrap();
        assert_eq!(entry.stem(), official.stem());
        assert_eq!(entry.configuration().unwrap(), Some(official.config()));
        assert!(entry.sha256.is_some() && entry.bytes.is_some(), "{}", entry.name);
        assert_eq!(catalogue.named(&official.stem()).unwrap().name, entry.name);
    }
}

#[test]
fn every_model_says_where_it_is_from_and_under_which_terms() {
    for entry in built_in() {
        let said = [&entry.family, &entry.licence, &entry.terms, &entry.trained_on, &entry.good_for, &entry.citation];
        assert!(said.iter().all(|text| text.as_ref().is_some_and(|text| !text.is_empty())), "{entry:?}");
        assert!(entry.name == "nano" || entry.url.as_ref().is_some_and(|url| url.starts_with("https://")), "{entry:?}");
        let readable = entry.configuration().unwrap().is_some() || entry.name == "nano" || entry.unsupported.is_some();
        assert!(readable, "{}: no configuration", entry.name);
    }
}

/// The table of `sam2_weights/README.md` is that of the list.
#[test]
fn the_page_agrees_with_the_list() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sam2_weights/README.md");
    let page = std::fs::read_to_string(page).unwrap();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut rows = Vec::new();
    for entry in built_in() {
        let CatalogueEntry { name, file, url, bytes, licence, licence_url, .. } = &entry;
        let link = |text: &str, url: &Option<String>| match url {
            Some(url) => format!("[{text}]({url})"),
            None => text.to_owned(),
        };
        let size = bytes.map_or_else(String::new, |bytes| format!("{} MB", (bytes + 500_000) / 1_000_000));
        let unusable = if entry.unsupported.is_some() { " (cannot be used here)" } else { "" };
        rows.push(format!(
            "| `{name}` | {} | {size} | {} | {} | {}{unusable} |",
            link(file, url),
            link(&text(licence), licence_url),
            text(&entry.trained_on),
            text(&entry.good_for)
        ));
    }
    let of_page: Vec<_> =
        page.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 5).collect();
    assert_eq!(of_page, rows);
}

#[test]
fn medsam2_is_a_tiny_sam_2_1_at_512_pixels() {
    let tiny = ModelConfig::preset("2.1-tiny").unwrap();
    let config = ModelConfig::load("medsam2").unwrap();
    assert_eq!((config.image_size, config.feature_size(), config.low_res_size()), (512, 32, 128));
    assert_eq!(ModelConfig { image_size: 1024, ..config.clone() }, tiny);
    for file in ["MedSAM2_latest.pt", "MedSAM2_CTLesion.safetensors", "medsam2_latest.pt"] {
        assert_eq!(ModelConfig::default_for_file(Path::new("x").join(file)).unwrap().as_ref(), Some(&config), "{file}");
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    let error = weights::find("sam2-oct", &[]).unwrap_err().to_string();
    assert!(error.contains("cannot be used here") && error.contains("CVAT-OCT"), "{error}");
    let error = ModelConfig::load("medsam").unwrap_err().to_string();
    assert!(error.contains("did you mean `medsam2`?"), "{error}");
}

/// A list of the user's: new names, names that it replaces, configurations beside it.
#[test]
fn models_of_ones_own_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [folder.path().to_path_buf()];
    let text = "[[model]]\nname = \"ward\"\nfile = \"ward.pt\"\nconfig = \"shape.yaml\"\nimage_size = 256\n\
                [[model]]\nname = \"tiny\"\nfile = \"own-tiny.pt\"\nconfig = \"tiny\"\n";
    std::fs::write(dirs[0].join("my-models.toml"), text).unwrap();
    let shape = serde_yaml_ng::to_string(&ModelConfig::preset("2.1-tiny").unwrap()).unwrap();
    std::fs::write(dirs[0].join("shape.yaml"), shape).unwrap();
    for file in ["ward.pt", "own-tiny.pt"] {
        std::fs::write(dirs[0].join(file), "").unwrap();
    }
    assert_eq!(weights::find("ward", &dirs).unwrap(), dirs[0].join("ward.pt"));
    assert_eq!(weights::find("tiny", &dirs).unwrap(), dirs[0].join("own-tiny.pt"));
    let config = ModelConfig::default_for_file(dirs[0].join("ward.pt")).unwrap().unwrap();
    assert_eq!(config.image_size, 256);
    let listed = loader::list(&dirs).unwrap();
    let named = |name: &str| listed.iter().filter(|model| model.entry.name == name).collect::<Vec<_>>();
    assert_eq!((named("ward").len(), named("tiny").len()), (1, 1));
    assert!(named("ward")[0].path.is_some() && named("ward")[0].entry.list.is_some());
    assert!(loader::table(&listed).contains("ward"));

    std::fs::write(dirs[0].join("my-models.toml"), "[[model]\n").unwrap();
    let place = Place { weights_dirs: dirs.to_vec(), ..Place::default() };
    let request = ModelRequest { model: "ward".into(), place, ..ModelRequest::default() };
    let error = request.load().err().unwrap().to_string();
    assert!(error.contains("my-models.toml: line 1: ") && !error.contains('\n'), "{error}");
}
