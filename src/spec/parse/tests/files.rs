//! Several files: names, templates, one bad customer beside good ones.

use super::*;
