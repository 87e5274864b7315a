/* The library itself and the driver that was loaded. */
#include <dirent.h>

#include "stand_in.h"

#define CUDA_VERSION 12040 /* 12.4, what branch 550 supports */

/* The version in the name of the user library that NVIDIA's packages installed. */
static int installed_library_version(char *version)
{
    static const char prefix[] = "libnvidia-ml.so.";
    static const char *const folders[] = {
        "/usr/lib/x86_64-linux-gnu/nvidia/current",
        "/usr/lib/x86_64-linux-gnu",
    };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        DIR *folder = opendir(folders[i]);
        struct dirent *entry;
        if (!folder)
            continue;
        while ((entry = readdir(folder))) {
            const char *found = entry->d_name + sizeof prefix - 1;
            /* libnvidia-ml.so.1 is the name programs ask for, not a version. */
            if (strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0 && strchr(found, '.')) {
                snprintf(version, TEXT, "%.*s", TEXT - 1, found);
                closedir(folder);
                return 1;
            }
        }
        closedir(folder);
    }
    return 0;
}

static nvmlReturn_t start(void)
{
    char loaded[TEXT], installed[TEXT];
    if (!installed_library_version(installed))
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    if (!read_text(STATE, "driver_version", loaded) || count_cards() == 0)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (strcmp(loaded, installed) != 0)
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    return fault("init");
}

nvmlReturn_t nvmlInit(void) { return start(); }
nvmlReturn_t nvmlInit_v2(void) { return start(); }
nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { (void)flags; return start(); }
nvmlReturn_t nvmlShutdown(void) { return NVML_SUCCESS; }

const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND: return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_LIBRARY_NOT_FOUND: return "NVML Shared Library Not Found";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    char loaded[TEXT];
    if (!read_text(STATE, "driver_version", loaded))
        return NVML_ERROR_DRIVER_NOT_LOADED;
    return copy_out(loaded, version, length);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    char installed[TEXT], numbered[TEXT + 4];
    if (!installed_library_version(installed))
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    snprintf(numbered, sizeof numbered, "12.%s", installed);
    return copy_out(numbered, version, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    *version = CUDA_VERSION;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    return nvmlSystemGetCudaDriverVersion(version);
}

/*
 * Undocumented, and nvidia-smi does not start without it: a table of internal functions whose first
 * word is the table's size. Slots answer success and do nothing, but for two through which
 * nvidia-smi 550 finds the card of `--id=0000:01:00.0`: it compares what they give, and would
 * otherwise compare what happens to lie on its stack.
 */
#define PARSE_PCI_ADDRESS 12
#define PCI_ADDRESS_OF_INDEX 75

static int do_nothing(void) { return 0; }

/* 0000:01:00.0 or 00000000:01:00.0 */
static int parse_pci_address(const char *text, unsigned int *domain, unsigned int *bus,
                             unsigned int *device, unsigned int *function)
{
    const char *after_domain = strchr(text, ':');
    const char *after_bus = after_domain ? strchr(after_domain + 1, ':') : NULL;
    const char *after_device = after_bus ? strchr(after_bus + 1, '.') : NULL;
    if (!after_bus)
        return NVML_ERROR_INVALID_ARGUMENT;
    *domain = parse_hexadecimal(text);
    *bus = parse_hexadecimal(after_domain + 1);
    *device = parse_hexadecimal(after_bus + 1);
    *function = after_device ? parse_hexadecimal(after_device + 1) : 0;
    return NVML_SUCCESS;
}

static int pci_address_of_index(unsigned int index, unsigned int *domain, unsigned int *bus,
                                unsigned int *device)
{
    char address[TEXT];
    unsigned int function;
    if (index >= count_cards())
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = card_text(&cards[index], "pci_address", address, sizeof address);
    if (result != NVML_SUCCESS)
        return result;
    return parse_pci_address(address, domain, bus, device, &function);
}

nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *identifier);
nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *identifier)
{
    static void *slots[256];
    (void)identifier; /* nvidia-smi asks for one table */
    slots[0] = (void *)sizeof slots;
    for (size_t i = 1; i < sizeof slots / sizeof *slots; i++)
        slots[i] = (void *)do_nothing;
    slots[PARSE_PCI_ADDRESS] = (void *)parse_pci_address;
    slots[PCI_ADDRESS_OF_INDEX] = (void *)pci_address_of_index;
    *table = slots;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    static int only;
    *set = (nvmlEventSet_t)(void *)&only;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) { (void)set; return NVML_SUCCESS; }
