/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Linked into every module. */
extern const char sitesnap_module_version[];
const char sitesnap_module_version[] = SITESNAP_VERSION;
