//! Generates the client from the document whose path is in `CAIRN_OPENAPI`, by default that of the repository.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use progenitor_impl::{GenerationSettings, Generator, InterfaceStyle};
use quote::quote;

fn main() -> Result<()> {
    println!("cargo::rerun-if-env-changed=CAIRN_OPENAPI");
    let document = std::env::var("CAIRN_OPENAPI").unwrap_or_else(|_| "../../openapi.json".to_owned());
    println!("cargo::rerun-if-changed={document}");
    let text = fs::read(&document).with_context(|| document.clone())?;

    let mut settings = GenerationSettings::new();
    settings
        .with_interface(InterfaceStyle::Builder)
        // Every request passes through the session, which adds the access token.
        .with_inner_type(quote! { crate::Session })
        .with_pre_hook_async(quote! { crate::Session::authorize });
    let client = Generator::new(&settings).generate_tokens(&serde_json::from_slice(&text)?)?;

    let folder = std::env::var("OUT_DIR")?;
    Ok(fs::write(Path::new(&folder).join("client.rs"), client.to_string())?)
}
