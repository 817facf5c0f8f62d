//! One template: parameters, resources, outputs.
//!
//! Adding a resource returns a [`Handle`], the only source of references to it. [`Stack::import`] gives access to an
//! [`Output`] of another stack: the stack then declares a parameter and records where its value comes from, so the
//! template that nests both stacks can pass it on without naming it again.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};
use smol_str::{SmolStr, format_smolstr};

use super::{
    value::Text,
    yaml::{Sorted, to_yaml},
};

/// Maximum number of resources in one template:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>.
pub(crate) const RESOURCES_MAX: usize = 500;

/// Maximum size in bytes of one template that is read from S3.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 1_048_576;

/// A kind of resource: a struct of the properties that we emit.
pub(crate) trait Resource: Serialize {
    /// The CloudFormation type name.
    const TYPE: &'static str;
    /// The property that takes tags, if there is one.
    const TAGS: Option<&'static str> = Some("Tags");
    /// What happens to the resource when it leaves the template or is replaced; CloudFormation's default where it does
    /// not matter.
    const REMOVAL: Option<Removal> = None;

    /// Each statement in its policy documents that covers more than one resource: the statement's name and the reason.
    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// What happens to a resource that leaves its template or is replaced.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Removal {
    /// It is kept, because its contents cannot be recreated.
    Retain,
    /// It is deleted; set explicitly where the reader might expect otherwise.
    Delete,
}

/// What all stacks of a platform share: properties that users can set on any resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    /// Tags for every resource that takes tags.
    pub(crate) tags: BTreeMap<SmolStr, SmolStr>,
    /// Properties merged over those of a resource, keyed by logical id.
    pub(crate) overrides: BTreeMap<SmolStr, Map<String, Value>>,
}

/// One template.
#[derive(Debug)]
pub(crate) struct Stack {
    name: SmolStr,
    fill_percent: usize,
    description: String,
    common: Arc<Common>,
    parameters: BTreeMap<SmolStr, Parameter>,
    resources: BTreeMap<SmolStr, Entry>,
    outputs: BTreeMap<SmolStr, Export>,
    wide: Vec<(SmolStr, &'static str, &'static str)>,
    after: Vec<SmolStr>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    r#type: &'static str,
    description: SmolStr,
    #[serde(skip)]
    from: Source,
}

#[derive(Debug)]
struct Entry {
    kind: &'static str,
    removal: Option<Removal>,
    depends_on: Vec<SmolStr>,
    properties: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Export {
    description: &'static str,
    value: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<Value>,
}

/// Where the nesting template gets the value of a nested stack's parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// Supplied when the stack is created.
    Creator,
    /// An output of another nested stack.
    Output(Output),
    /// A value that the nesting template can write directly.
    Value(Text),
}

/// An output of a stack, for others to import.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    /// Name of the stack.
    pub(crate) stack: SmolStr,
    /// Name of the output.
    pub(crate) name: SmolStr,
    /// What it holds.
    pub(crate) description: &'static str,
}

/// A resource that has been added to a stack.
#[derive(Debug)]
pub(crate) struct Handle<R> {
    id: SmolStr,
    kind: PhantomData<fn() -> R>,
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), kind: PhantomData }
    }
}

impl<R> Handle<R> {
    /// Returns `Ref`: a name, an id or an ARN, depending on the kind of resource.
    pub(crate) fn reference(&self) -> Text {
        Text::reference(&self.id)
    }

    /// Returns an attribute. Each kind has methods for those that exist.
    pub(super) fn attribute(&self, name: &str) -> Text {
        Text::attribute(&self.id, name)
    }
}

impl Stack {
    /// Creates an empty stack. `name` becomes its file name.
    pub(crate) fn new(name: impl Into<SmolStr>, description: String, common: &Arc<Common>) -> Self {
        Self {
            name: name.into(),
            fill_percent: 0,
            description,
            common: Arc::clone(common),
            parameters: BTreeMap::new(),
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
            wide: Vec::new(),
            after: Vec::new(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &SmolStr {
        &self.name
    }

    /// Adds a resource under a logical id that is not in the stack yet.
    pub(crate) fn add<R: Resource>(&mut self, id: impl Into<SmolStr>, resource: R) -> Handle<R> {
        let id = id.into();
        let mut properties = serde_json::to_value(&resource).expect("resources hold only JSON's own types");
        let map = properties.as_object_mut().expect("a resource is a struct");
        if let Some(key) = R::TAGS.filter(|_| !self.common.tags.is_empty()) {
            let tags = self.common.tags.iter().map(|(key, value)| serde_json::json!({ "Key": key, "Value": value }));
            map.insert(key.to_owned(), tags.collect());
        }
        if let Some(patch) = self.common.overrides.get(&id) {
            merge(map, patch);
        }
        self.wide.extend(resource.wide_resources().into_iter().map(|(sid, reason)| (id.clone(), sid, reason)));
        let entry = Entry { kind: R::TYPE, removal: R::REMOVAL, depends_on: Vec::new(), properties };
        let before = self.resources.insert(id.clone(), entry);
        assert!(before.is_none(), "{} has two resources {id}", self.name);
        Handle { id, kind: PhantomData }
    }

    /// Makes one resource wait for another that it does not refer to.
    pub(crate) fn wait<A, B>(&mut self, resource: &Handle<A>, until: &Handle<B>) {
        let entry = self.resources.get_mut(&resource.id).expect("a handle comes from having added the resource");
        entry.depends_on.push(until.id.clone());
        entry.depends_on.sort();
    }

    /// Makes the stack wait for another that it imports nothing from.
    pub(crate) fn after(&mut self, stack: &SmolStr) {
        self.after.push(stack.clone());
    }

    /// The stacks that it waits for without importing from them.
    pub(crate) fn waits_for(&self) -> &[SmolStr] {
        &self.after
    }

    /// Declares a parameter whose value is supplied when the stack is created.
    pub(crate) fn parameter(&mut self, name: &'static str, description: &'static str) -> Text {
        self.declare(name.into(), description.into(), Source::Creator)
    }

    /// Declares a parameter whose value the nesting template passes.
    pub(crate) fn passed(&mut self, name: &'static str, description: &'static str, value: Text) -> Text {
        self.declare(name.into(), description.into(), Source::Value(value))
    }

    /// Imports a value of another stack as a parameter of this one.
    pub(crate) fn import(&mut self, output: &Output) -> Text {
        let description = format_smolstr!("{} (from {})", output.description, output.stack);
        self.declare(output.name.clone(), description, Source::Output(output.clone()))
    }

    fn declare(&mut self, name: SmolStr, description: SmolStr, from: Source) -> Text {
        let parameter = Parameter { r#type: "String", description, from };
        let text = Text::reference(&name);
        let declared = self.parameters.entry(name).or_insert(Parameter { from: parameter.from.clone(), ..parameter });
        assert!(declared.from == parameter.from, "{} imports two values under one name", self.name);
        text
    }

    /// Adds an output that other stacks may import.
    pub(crate) fn output(&mut self, name: &'static str, description: &'static str, value: Text) -> Output {
        self.outputs.insert(name.into(), Export { description, value, export: None });
        Output { stack: self.name.clone(), name: name.into(), description }
    }

    /// Adds an output that separately deployed stacks find through `export`.
    pub(crate) fn export(&mut self, name: &'static str, description: &'static str, value: Text, export: &str) {
        let export = Some(serde_json::json!({ "Name": export }));
        self.outputs.insert(name.into(), Export { description, value, export });
    }

    /// Declares a parameter of this stack and passes it on to the parameter of the same name of a nested stack.
    pub(crate) fn forward(&mut self, nested: &Self, name: &SmolStr) -> Text {
        self.declare(name.clone(), nested.parameters[name].description.clone(), Source::Creator)
    }

    /// Exposes an output of a nested stack as an output of this one.
    pub(crate) fn show(&mut self, output: &Output, value: Text) {
        self.outputs.insert(output.name.clone(), Export { description: output.description, value, export: None });
    }

    /// Its parameters and the sources of their values.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&SmolStr, &Source)> {
        self.parameters.iter().map(|(name, parameter)| (name, &parameter.from))
    }

    /// The outputs, by name.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Output> {
        self.outputs.iter().map(|(name, output)| Output {
            stack: self.name.clone(),
            name: name.clone(),
            description: output.description,
        })
    }

    /// The logical ids of its resources.
    pub(crate) fn logical_ids(&self) -> impl Iterator<Item = &SmolStr> {
        self.resources.keys()
    }

    /// Returns the properties of a resource, including overrides.
    ///
    /// # Panics
    ///
    /// If the stack has no such resource.
    pub(crate) fn properties(&self, id: &str) -> &Value {
        &self.resources[id].properties
    }

    /// Each policy statement that covers more than one resource: logical id, statement, reason.
    #[cfg(test)]
    pub(crate) fn wide_resources(&self) -> &[(SmolStr, &'static str, &'static str)] {
        &self.wide
    }

    /// How many more resources fit.
    pub(crate) fn room(&self) -> usize {
        RESOURCES_MAX.saturating_sub(self.resources.len())
    }

    /// Records how full the stack is, for resources that may be spread over several stacks.
    pub(crate) fn set_fill(&mut self, percent: usize) {
        self.fill_percent = percent;
    }

    /// How full the stack is, as a percentage of the point at which another stack is started; 0 if nothing can be
    /// spread.
    pub(crate) fn fill_percent(&self) -> usize {
        self.fill_percent
    }

    /// Returns the template as YAML text.
    pub(crate) fn to_yaml(&self) -> String {
        let text = to_yaml(&self.written());
        assert!(self.resources.len() <= RESOURCES_MAX, "{} has {} resources", self.name, self.resources.len());
        assert!(text.len() <= TEMPLATE_BYTES_MAX, "{} has {} bytes", self.name, text.len());
        text
    }

    /// The template as a tree.
    #[cfg(test)]
    pub(crate) fn to_tree(&self) -> Value {
        serde_json::to_value(self.written()).expect("templates hold only JSON's own types")
    }

    fn written(&self) -> Written<'_> {
        let resources = self.resources.iter().map(|(id, entry)| {
            let written = WrittenEntry {
                r#type: entry.kind,
                deletion_policy: entry.removal,
                update_replace_policy: entry.removal,
                depends_on: &entry.depends_on,
                properties: Sorted(&entry.properties),
            };
            (id.as_str(), written)
        });
        Written {
            version: "2010-09-09",
            description: &self.description,
            parameters: &self.parameters,
            resources: resources.collect(),
            outputs: &self.outputs,
        }
    }
}

/// Merges a patch. Tables are merged key by key; everything else is replaced, including intrinsic functions such as
/// `Ref`.
fn merge(onto: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (onto.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(patch)) if !is_intrinsic(inner) && !is_intrinsic(patch) => {
                merge(inner, patch);
            }
            _ => {
                onto.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Whether a table is an intrinsic function, which CloudFormation replaces with a value: its only key names a function.
fn is_intrinsic(table: &Map<String, Value>) -> bool {
    table.len() == 1 && table.keys().all(|key| key == "Ref" || key.starts_with("Fn::"))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    #[serde(rename = "AWSTemplateFormatVersion")]
    version: &'static str,
    description: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: &'a BTreeMap<SmolStr, Parameter>,
    resources: BTreeMap<&'a str, WrittenEntry<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    outputs: &'a BTreeMap<SmolStr, Export>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenEntry<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_policy: Option<Removal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_replace_policy: Option<Removal>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    depends_on: &'a [SmolStr],
    properties: Sorted<'a>,
}
