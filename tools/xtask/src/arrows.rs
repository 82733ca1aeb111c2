// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which file of a crate uses which other one, and whether that leads in a circle.
//!
//! A file uses another when a path in it, imported or written out, names an item that the other one defines;
//! re-exports are followed to the definition. Not counted are `mod` declarations, re-exports, tests, and what an
//! `impl` in one file finds of the methods of another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// Path of a module in its crate, without `crate`.
type Module = Vec<String>;

/// A path as it was written, resolved from the module that it is in.
type Written = Vec<String>;

/// One module of a file: the file's own, or one within it.
#[derive(Debug, Default)]
struct Names {
    /// The file that it is in.
    file: PathBuf,
    /// What a name stands for that was imported here, re-exported or not.
    bindings: BTreeMap<String, Written>,
    /// Modules of which all names are imported here.
    globs: Vec<Written>,
    /// Names that are defined here.
    defined: BTreeSet<String>,
}

/// The arrows of a crate, from file to file.
#[derive(Debug, Default)]
pub struct Arrows {
    modules: BTreeMap<Module, Names>,
    used: Vec<(PathBuf, Module, Written)>,
    arrows: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

impl Arrows {
    /// Reads the crate whose first file is `root`, named from its folder.
    ///
    /// # Errors
    /// A sentence that names the file that cannot be read, or is not Rust.
    pub fn read(root: &Path) -> Result<Self, String> {
        let folder = root.parent().ok_or("a crate without a folder")?;
        let mut arrows = Self::default();
        arrows.file(folder, root, Vec::new(), folder.to_path_buf())?;
        arrows.resolve();
        Ok(arrows)
    }

    /// Returns the files that are used by each file, below the folder of the first one.
    #[must_use]
    pub const fn files(&self) -> &BTreeMap<PathBuf, BTreeSet<PathBuf>> {
        &self.arrows
    }

    /// Returns files that use each other in a circle, the first one again at the end; `None` if no file does.
    #[must_use]
    pub fn circle(&self) -> Option<Vec<String>> {
        circle(&self.arrows.iter().map(|(from, to)| (from.clone(), to.clone())).collect())
    }

    /// As [`circle`](Self::circle) for the parts of the crate: each file of its folder, together with the folder
    /// of its name.
    #[must_use]
    pub fn circle_of_parts(&self) -> Option<Vec<String>> {
        let part = |file: &Path| {
            let first = file.iter().next().unwrap_or_default();
            Path::new(first).with_extension("")
        };
        let mut parts = BTreeMap::<_, BTreeSet<_>>::new();
        for (from, files) in &self.arrows {
            let others = files.iter().map(|to| part(to)).filter(|to| *to != part(from));
            parts.entry(part(from)).or_default().extend(others);
        }
        circle(&parts)
    }

    /// Reads a file and those of its modules, whose own are in `children`.
    fn file(
        &mut self,
        folder: &Path,
        path: &Path,
        module: Module,
        children: PathBuf,
    ) -> Result<(), String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        let parsed = syn::parse_file(&text).map_err(|error| named(&error))?;
        let file = path.strip_prefix(folder).unwrap_or(path).to_path_buf();
        self.arrows.entry(file.clone()).or_default();
        self.module(folder, &file, module, &children, &parsed.items)
    }

    fn module(
        &mut self,
        folder: &Path,
        file: &Path,
        module: Module,
        children: &Path,
        items: &[Item],
    ) -> Result<(), String> {
        let mut names = Names { file: file.to_path_buf(), ..Names::default() };
        let mut inner = Vec::new();
        for item in items {
            match item {
                Item::Mod(item) if is_test(&item.attrs) => {}
                Item::Use(item) if is_test(&item.attrs) => {}
                Item::Mod(item) => inner.push(item),
                Item::Use(item) => {
                    let mut leaves = Vec::new();
                    leaves_of(&item.tree, &mut Vec::new(), &mut leaves);
                    for (written, binding) in leaves {
                        let counts = matches!(item.vis, Visibility::Inherited);
                        if counts {
                            self.used.push((file.to_path_buf(), module.clone(), written.clone()));
                        }
                        match binding {
                            Some(name) => drop(names.bindings.insert(name, written)),
                            None => names.globs.push(written),
                        }
                    }
                }
                item => {
                    names.defined.extend(name_of(item));
                    let mut paths = Paths::default();
                    paths.visit_item(item);
                    let found = paths.found.into_iter();
                    self.used.extend(found.map(|it| (file.to_path_buf(), module.clone(), it)));
                }
            }
        }
        self.modules.insert(module.clone(), names);
        for item in inner {
            let name = item.ident.to_string();
            let mut path = module.clone();
            path.push(name.clone());
            match &item.content {
                Some((_, items)) => {
                    self.module(folder, file, path, &children.join(&name), items)?
                }
                None => {
                    let beside = children.join(&name).with_extension("rs");
                    let below = children.join(&name).join("mod.rs");
                    let path_of_file = match path_attribute(&item.attrs) {
                        Some(given) => children.join(given),
                        None if below.exists() => below,
                        None => beside,
                    };
                    self.file(folder, &path_of_file, path, children.join(&name))?;
                }
            }
        }
        Ok(())
    }

    fn resolve(&mut self) {
        let mut arrows = Vec::new();
        for (from, module, written) in &self.used {
            if let Some(to) = self.definition(module, written, 0)
                && to != *from
            {
                arrows.push((from.clone(), to));
            }
        }
        for (from, to) in arrows {
            self.arrows.entry(from).or_default().insert(to);
        }
    }

    /// Finds the file that defines what `written` means in `module`; `None` for what is not of this crate.
    fn definition(&self, module: &[String], written: &[String], depth: usize) -> Option<PathBuf> {
        // Globs may import from each other.
        const DEEPEST: usize = 16;
        if depth > DEEPEST {
            return None;
        }
        let mut at = module.to_vec();
        let mut rest = written;
        match rest.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            _ => {}
        }
        loop {
            let names = self.modules.get(&at)?;
            let Some((first, behind)) = rest.split_first() else {
                return Some(names.file.clone());
            };
            let mut child = at.clone();
            child.push(first.clone());
            if self.modules.contains_key(&child) {
                (at, rest) = (child, behind);
                continue;
            }
            if names.defined.contains(first) {
                return Some(names.file.clone());
            }
            if let Some(binding) = names.bindings.get(first) {
                let longer: Vec<_> = binding.iter().chain(behind).cloned().collect();
                // `use name;` of another crate names itself.
                return if longer == written {
                    None
                } else {
                    self.definition(&at, &longer, depth + 1)
                };
            }
            return names.globs.iter().find_map(|glob| {
                let longer: Vec<_> = glob.iter().chain(rest).cloned().collect();
                self.definition(&at, &longer, depth + 1)
            });
        }
    }
}

/// Finds a circle by walking along the arrows from each node.
fn circle(arrows: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Option<Vec<String>> {
    fn walk<'a>(
        at: &'a PathBuf,
        arrows: &'a BTreeMap<PathBuf, BTreeSet<PathBuf>>,
        way: &mut Vec<&'a PathBuf>,
        done: &mut BTreeSet<&'a PathBuf>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|other| *other == at) {
            let round = way[start..].iter().copied().chain([at]);
            return Some(round.map(|file| file.display().to_string()).collect());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at);
        for next in arrows.get(at).into_iter().flatten() {
            if let Some(found) = walk(next, arrows, way, done) {
                return Some(found);
            }
        }
        way.pop();
        done.insert(at);
        None
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|start| walk(start, arrows, &mut Vec::new(), &mut done))
}

/// Returns whether an item is compiled for tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

/// Returns the file that `#[path = "..."]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// Returns the name that an item defines.
fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Finds what a `use` imports, and under which name; without one, all of it.
fn leaves_of(tree: &UseTree, way: &mut Written, leaves: &mut Vec<(Written, Option<String>)>) {
    let with = |way: &Written, last: &syn::Ident| {
        let mut path = way.clone();
        if last != "self" {
            path.push(last.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(tree) => {
            way.push(tree.ident.to_string());
            leaves_of(&tree.tree, way, leaves);
            way.pop();
        }
        UseTree::Name(tree) => {
            let path = with(way, &tree.ident);
            let name = path.last().cloned();
            leaves.push((path, name));
        }
        UseTree::Rename(tree) => {
            leaves.push((with(way, &tree.ident), Some(tree.rename.to_string())));
        }
        UseTree::Glob(_) => leaves.push((way.clone(), None)),
        UseTree::Group(group) => {
            for tree in &group.items {
                leaves_of(tree, way, leaves);
            }
        }
    }
}

/// Collects the paths of an item that say which module they begin in.
#[derive(Default)]
struct Paths {
    found: Vec<Written>,
}

impl Paths {
    fn add(&mut self, path: Written) {
        let says_where =
            path.first().is_some_and(|first| matches!(first.as_str(), "crate" | "super" | "self"));
        if says_where && path.len() > 1 {
            self.found.push(path);
        }
    }

    /// What a macro is called with is not parsed, so paths are sought among its words.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Written::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) if path.is_empty() || colons == 2 => {
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark)
                    if mark.as_char() == ':' && !path.is_empty() && colons < 2 =>
                {
                    colons += 1;
                }
                TokenTree::Group(group) => {
                    self.add(std::mem::take(&mut path));
                    colons = 0;
                    self.tokens(group.stream());
                }
                other => {
                    self.add(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Ident(word) = other {
                        path.push(word.to_string());
                    }
                }
            }
        }
        self.add(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// A `use` within a function.
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        leaves_of(&item.tree, &mut Vec::new(), &mut leaves);
        for (path, _) in leaves {
            self.add(path);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }
}
