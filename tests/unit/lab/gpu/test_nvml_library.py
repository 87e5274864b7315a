"""Every function NVIDIA's header declares is there, implemented or not."""

from __future__ import annotations

from lab.gpu.nvml_library import implementation, stub_source

HEADER = """
nvmlReturn_t DECLDIR nvmlInit_v2(void);
nvmlReturn_t DECLDIR nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length);
"""


def test_a_function_without_implementation_answers_not_supported() -> None:
    stubs = stub_source(HEADER, "nvmlReturn_t nvmlInit_v2(void) { return start(); }\n")
    assert "int nvmlDeviceGetSerial(void) { return 3; }" in stubs
    assert "nvmlInit_v2" not in stubs


def test_a_call_inside_the_implementation_is_not_taken_for_a_definition() -> None:
    stubs = stub_source(HEADER, "static int x(void)\n{\n    return nvmlInit_v2();\n}\n")
    assert "int nvmlInit_v2(void)" in stubs


def test_the_stand_in_implements_what_nvidia_smi_cannot_do_without() -> None:
    for name in ("nvmlInitWithFlags", "nvmlInternalGetExportTable", "nvmlDeviceGetCount_v2"):
        assert f"{name}(" in implementation()
        assert name not in stub_source(f"nvmlReturn_t DECLDIR {name}(void);", implementation())
